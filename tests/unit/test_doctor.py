"""The doctor: every broken thing its own row with its mend; one does not hide another."""

import json
import shutil
from pathlib import Path

import pytest

from bot.doctor import Row, examine, render
from bot.settings import ROOT, Settings, load


def settings(tmp_path: Path, people: str) -> Settings:
    file = tmp_path / "people.yaml"
    file.write_text(people)
    return load(data=tmp_path / "data", people=file, policies=ROOT / "policies", slack_api_url="http://127.0.0.1:1/")


async def rows_of(tmp_path: Path, people: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in await examine(settings(tmp_path, people)):
        found.setdefault(row.what, []).append(row)
    return found


async def test_rule_12_no_approver_for_production_is_a_failed_row_with_the_mend(tmp_path: Path) -> None:
    rows = await rows_of(tmp_path, "people: {}\n")
    assert rows["policies"][0].state == "fail"
    assert "approver" in rows["policies"][0].text
    assert rows["store"][0].state == "ok", "one broken thing hides no other"


async def test_each_missing_thing_has_a_row_and_a_mend(tmp_path: Path) -> None:
    rows = await rows_of(
        tmp_path, "people:\n  U0BO000001: {name: bo, roles: [approver]}\n  U0CHRIS001: {name: c, roles: [approver]}\n"
    )
    assert rows["policies"][0].state == "ok"
    for what, named in (("slack", "WATCHBILL_SLACK_QA_APP_TOKEN"), ("proxmox", "WATCHBILL_PROXMOX_URL")):
        assert rows[what][0].state == "fail"
        assert named in rows[what][0].text
    assert rows["write token"][0].state == "fail"
    assert all(row.mend for same in rows.values() for row in same if row.state != "ok")


@pytest.mark.parametrize(
    ("text", "state", "said"),
    [
        ("kubernetes_version: '1.33.13'\n", "ok", "1 for every playbook"),
        ("mirror: '{{ x }}'\n", "fail", "site_vars.yaml:1: mirror: values are data, not templates"),
        (None, "fail", "site_vars.yaml"),
    ],
)
async def test_named_site_variables_are_looked_at(tmp_path: Path, text: str | None, state: str, said: str) -> None:
    path = tmp_path / "site_vars.yaml"
    if text is not None:
        path.write_text(text)
    given = load(data=tmp_path / "data", site_vars=path, slack_api_url="http://127.0.0.1:1/")
    row = next(row for row in await examine(given) if row.what == "site variables")
    assert row.state == state
    assert said in row.text
    assert bool(row.mend) == (state != "ok")


async def test_broken_knowledge_of_an_error_is_a_failed_row_that_names_file_and_field(tmp_path: Path) -> None:
    personas = tmp_path / "personas"
    shutil.copytree(ROOT / "personas", personas)
    path = personas / "skills" / "errors" / "vm-locked.md"
    path.write_text(path.read_text().replace("not_match:", "never:"))
    people = tmp_path / "people.yaml"
    people.write_text(
        "people:\n  U0BO000001: {name: bo, roles: [approver]}\n  U0CHRIS001: {name: c, roles: [approver]}\n"
    )
    given = load(
        data=tmp_path / "data", people=people, policies=ROOT / "policies", personas=personas,
        slack_api_url="http://127.0.0.1:1/",
    )  # fmt: skip
    rows = {row.what: row for row in await examine(given) if row.state == "fail"}
    assert "errors/vm-locked.md: not_match: Field required" in rows["policies"].text


async def test_the_key_that_logs_in_is_there_and_closed(tmp_path: Path) -> None:
    key = tmp_path / "key"
    for there, mode, state in ((False, 0, "fail"), (True, 0o644, "fail"), (True, 0o600, "ok")):
        if there:
            key.write_text("a private key")
            key.chmod(mode)
        rows = await examine(settings(tmp_path, "people: {}\n").model_copy(update={"ssh_key": key}))
        assert [row.state for row in rows if row.what == "ssh key"] == [state]


@pytest.mark.parametrize("as_json", [True, False])
def test_rows_for_people_and_for_programs(as_json: bool) -> None:  # noqa: FBT001 # the flag of the command
    text = render([Row("git", "ok", "/usr/bin/git"), Row("slack", "fail", "no token", "make one")], as_json=as_json)
    if as_json:
        assert [row["state"] for row in json.loads(text)] == ["ok", "fail"]
    else:
        assert "FAIL  slack: no token\n      → make one" in text
        assert text.endswith("2 looked at, 1 to mend")
