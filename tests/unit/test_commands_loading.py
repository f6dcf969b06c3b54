"""A catalogue that does not hold is refused, with file, line, entry and mend."""

from pathlib import Path
from typing import Any

import pytest

from bot.policy.commands import loading
from bot.policy.commands.catalogue import read_catalogue
from bot.policy.commands.classify import Classifier
from bot.policy.commands.examples import verify_examples
from bot.policy.commands.loading import load_classifier
from bot.policy.problems import PolicyError
from tests.commands_house import COMMANDS, LOOK, classifier_of, folder_with, programs, shipped


def problem(tmp_path: Path, **files: str) -> str:
    with pytest.raises(PolicyError) as caught:
        load_classifier(folder_with(tmp_path, **files))
    return str(caught.value)


def test_the_shipped_catalogue_proves_itself() -> None:
    assert shipped().classify("rm --help").cls == "read"
    assert len(list(programs())) > 10


def test_every_shipped_program_has_examples_for_its_classes() -> None:
    for program in programs():
        assert program.match, program.name


def test_the_same_bytes_are_proved_once() -> None:
    assert load_classifier(COMMANDS) is load_classifier(COMMANDS)


def test_a_changed_file_is_proved_again(tmp_path: Path) -> None:
    first = classifier_of(tmp_path, look=LOOK)
    second = classifier_of(tmp_path, look=LOOK.replace("shows things", "shows other things"))
    assert first is not second
    assert "shows other things" in str(second.classify("look x"))


def test_what_was_proved_is_not_proved_again_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proved: list[int] = []

    def counted(*given: Any) -> None:
        proved.append(1)
        verify_examples(*given)

    def start(proof: Path) -> Classifier:
        monkeypatch.setattr(loading, "_kept", {})
        return loading.load_classifier(folder, proof)

    monkeypatch.setattr(loading, "verify_examples", counted)
    folder, proof = folder_with(tmp_path, look=LOOK), tmp_path / "data" / "proof"
    assert [str(start(proof).classify("look x")) for _ in range(3)] == [str(start(proof).classify("look x"))] * 3
    assert len(proved) == 1
    proof.write_bytes(b"\xff")
    start(proof)
    assert len(proved) == 2
    blocked = tmp_path / "file"
    blocked.write_text("")
    start(blocked / "proof")
    assert len(proved) == 3
    (folder / "look.yaml").write_text(LOOK.replace("match: {read", "match: {destroy"))
    with pytest.raises(PolicyError, match="look"):
        start(proof)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("flags: -a", "flag: -a", "commands/look.yaml:3: look.flag: Extra inputs are not permitted. Remove or rename"),
        ("is: [read,", "is: [reads,", "commands/look.yaml:2: look.is: Input should be"),
        ("is: [read, shows things]", "is: [read]", "look.is: write [class, reason]"),
        ("  is: [read, shows things]\n", "", "it says no class: write `is: [class, reason]` or `verbs`"),
        ("  match: {read: [look x]}\n", "", "look.match: Field required. Add it"),
        ("match: {read: [look x]}", "match: {}", "look.match: Dictionary should have at least 1 item"),
        ("  not_match: {read: [look -o y]}\n", "", "not_match has no `read`: show a command that looks like its reads"),
        ("match: {read: [look x]}", "match: {read: [look -o y]}", "match.read: 'look -o y' is change"),
        ("not_match: {read: [look -o y]}", "not_match: {read: [look y]}", "not_match.read: 'look y' is read"),
        ("operands: reads...", "operands: read...", "look.operands"),
        ("operands: reads...", "operands: [reads..., text...]", "more than one place takes many operands"),
        ("operands: reads...", 'operands: "code:klingon"', "there is no language 'klingon'. Known: "),
        ("-v,--verbose", "-a,--verbose", "the option -a stands twice. Keep one of them"),
        ("--brief", "brief", "'brief' is no option. Begin it with a dash"),
        ("helps: --help", "helps: --help\n  raises: {--force: [destroy, forces]}", "--force is not declared here"),
        ("look:\n", "look:\n  is: [read, shows]\n", "the key 'is' stands twice"),
        ("  flags", " flags", "this is no YAML"),
        ("helps: --help", "helps: --help\n  but: [{is: [read, x y z]}]", "write what it depends on: with, without or only"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in LOOK
    said = problem(tmp_path, look=LOOK.replace(old, new))
    assert "commands/look.yaml" in said
    assert words in said


def test_every_class_of_an_entry_needs_an_example(tmp_path: Path) -> None:
    said = problem(tmp_path, look=LOOK.replace("helps: --help", "helps: --help\n  bare: [destroy, ends it all]"))
    assert "policies/commands/look.yaml: look: no example shows its class destroy. Add one to match.destroy" in said


def test_a_program_has_one_entry(tmp_path: Path) -> None:
    said = problem(tmp_path, look=LOOK, more=LOOK)
    assert "policies/commands/more.yaml: look: it stands in policies/commands/look.yaml too" in said


def test_facts_are_checked_too(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, look=LOOK)
    facts = (folder / "facts.yaml").read_text()
    (folder / "facts.yaml").write_text(facts.replace("\nsinks:", "\nsink:"))
    with pytest.raises(PolicyError, match=r"commands/facts.yaml:\d+: sink: Extra inputs are not permitted"):
        read_catalogue(folder)


def test_an_empty_folder_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="it has no programs"):
        load_classifier(folder_with(tmp_path))


def test_missing_facts_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        read_catalogue(tmp_path)


def test_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (folder / "look.yaml").write_bytes(b"look: \xff")
    with pytest.raises(PolicyError, match="this is not UTF-8"):
        read_catalogue(folder)


NESTED = """tool:
  spread: true
  names: {context: "-n,--name"}
  helps: -h --help
  raises: {"--name=root": [destroy, reaches everything]}
  verbs:
    list:
      is: [read, lists]
      flags: -h,--heads
    set:
      verbs:
        deep: [change, changes something]
  match:
    read: [tool -n x list, tool list -n x, tool list -h, tool set deep --help]
    change: [tool set deep -n x]
  not_match: {read: [tool set deep]}
"""


def test_options_that_spread_hold_on_every_level_below(tmp_path: Path) -> None:
    tool = classifier_of(tmp_path, tool=NESTED)
    assert tool.classify("tool set deep -n root").cls == "destroy"
    assert tool.classify("tool -n root set deep").cls == "destroy"
    assert tool.classify("tool set -n root deep").cls == "destroy"


def test_a_letter_that_shows_help_above_may_mean_something_else_below(tmp_path: Path) -> None:
    wrong = NESTED.replace("is: [read, lists]", "is: [destroy, drops]").replace("    read: [tool -n x list, tool list -n x, tool list -h, ", "    destroy: [tool list -h]\n    read: [")  # fmt: skip
    assert classifier_of(tmp_path, tool=wrong).classify("tool list -h").cls == "destroy"
