"""The Ansible tools with real ansible-core, ansible-runner and ansible-lint, over a real OpenSSH server on loopback."""

import asyncio
import json
import os
import signal
import tempfile
import textwrap
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.calls import CallClass, Prepared
from bot.domain.ports import Cannot
from tests.ansible_house import KIT, AnsibleHouse, needs_ansible
from tests.ssh_house import Sshd, free_port, make_key, needs_sshd, running_sshd
from tools.ansible_workshop import run_name
from tools.rights import NAMED_UID, open_to

pytestmark = [needs_sshd, needs_ansible, pytest.mark.slow, pytest.mark.xdist_group("ssh")]

HEAD = "- name: Site\n  hosts: all\n  gather_facts: false\n  tasks:\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture
def house(shared: Sshd) -> Generator[AnsibleHouse]:
    with tempfile.TemporaryDirectory(prefix="wba") as folder:
        Path(folder).chmod(0o711)  # so that a child with a user of its own gets there
        yield AnsibleHouse(Path(folder), shared)


def task(name: str, module: str, **arguments: object) -> str:
    return f"    - name: {name}\n      ansible.builtin.{module}: {json.dumps(arguments)}\n"


def place(house: AnsibleHouse, name: str = "made") -> Path:
    return house.data / name


async def test_a_playbook_is_checked_dry_approved_and_run_and_a_second_run_changes_nothing(house: AnsibleHouse) -> None:
    made = place(house)
    playbook = HEAD + task("Write it", "copy", content="hello\n", dest=str(made), mode="0644")
    checked = await house.check(playbook)
    assert checked.status == "ok", checked.text
    assert (checked.facts["would_change"], checked.facts["dry_run"], checked.facts["class"]) == (1, True, "change")
    assert "+hello" in checked.text
    assert not made.exists()
    prepared, parsed = await house.prepare("ansible_run", check=str(checked.facts["check"])[:12], words="as planned")
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.CHANGE
    assert prepared.effect.title == "Run playbook site.yml"
    assert [item.name for item in prepared.effect.items] == ["Write it"]
    assert "Dry run: would change 1 (cp1 1)." in prepared.effect.notes
    assert prepared.pins["host_key.cp1"] == house.sshd.host.fingerprints[0]
    assert house.locks.held
    run = house.tools["ansible_run"]
    assert await run.pins(prepared, parsed) == prepared.pins
    result = (await run.run(prepared, parsed, house.scope, house.watch)).result
    assert result.status == "ok", result.text
    assert (result.facts["changed"], result.changed, made.read_text()) == (1, True, "hello\n")
    assert "cp1: ok 1 changed 1 failed 0 unreachable 0 skipped 0" in result.text
    assert house.locks.held == {}
    again = (await run.run(prepared, parsed, house.scope, house.watch)).result
    assert again.status == "refused"
    second = await house.approved(playbook)
    assert (second.status, second.facts["changed"]) == ("ok", 0)


async def test_rule_16_children_have_a_user_ports_and_files_of_their_own_and_the_key_is_gone_afterwards(
    house: AnsibleHouse,
) -> None:
    prepared, parsed = await house.ready(HEAD + task("Look", "command", argv=["id"]))
    await house.tools["ansible_run"].run(prepared, parsed, house.scope, house.watch)
    bench = house.workshop.bench("home", run_name(prepared))
    spec = json.loads((bench.root / "run" / "spec.json").read_text())
    assert spec["ports"] == [house.sshd.port]
    reachable = open_to(NAMED_UID, (KIT / "bin/python").resolve())  # an interpreter below /root is not
    assert spec["uid"] == (NAMED_UID if os.geteuid() == 0 and reachable else 0)
    assert all(str(house.data / "estates/home/repository") not in path for path in (*spec["write"], *spec["read"]))
    secret = house.sshd.key.read_bytes()
    left = [p for p in (house.data / "estates").rglob("*") if p.is_file() and secret in p.read_bytes()]
    assert left == []


async def test_the_failed_task_comes_back_with_its_message_and_every_host(house: AnsibleHouse) -> None:
    house.list(house.sshd.host, replace(house.sshd.host, name="cp9", port=free_port(), groups=()))
    playbook = HEAD + task("Fine", "command", argv=["true"]) + task("Breaks", "command", argv=["cat", "/nowhere"])
    result = await house.approved(playbook, limit=["cp1"])
    assert result.status == "failed"
    assert "Failed on cp1: Breaks (site.yml:" in result.text
    assert "No such file or directory" in result.text
    assert result.facts["failed"] == ["cp1"]


async def test_an_unreachable_host_among_others_is_named_with_the_mend(house: AnsibleHouse) -> None:
    house.list(house.sshd.host, replace(house.sshd.host, name="cp9", port=free_port(), groups=()))
    checked = await house.check(HEAD + task("Look", "command", argv=["id"]))
    assert checked.status == "failed"
    assert "cp9" in checked.text
    prepared, parsed = await house.prepare("ansible_run", check=str(checked.facts["check"]), words="as planned")
    assert isinstance(prepared, Prepared)
    result = (await house.tools["ansible_run"].run(prepared, parsed, house.scope, house.watch)).result
    assert result.status == "failed"
    assert result.facts["hosts"]["cp1"]["ok"] == 1  # type: ignore[index, call-overload]
    assert result.facts["failed"] == ["cp9"]
    assert "nothing listens on the SSH port" in result.text


async def test_rule_25_a_changed_host_key_runs_nothing(house: AnsibleHouse, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    house.list(replace(house.sshd.host, keys=(other,)))
    result = await house.approved_anyway(HEAD + task("Touch", "command", argv=["touch", str(place(house))]))
    assert result.status == "failed"
    assert "host key changed" in result.text
    assert not place(house).exists()


async def test_rule_11_another_file_host_or_key_voids_what_was_approved(house: AnsibleHouse, tmp_path: Path) -> None:
    prepared, parsed = await house.ready(HEAD + task("Touch", "command", argv=["touch", str(place(house))]))
    run = house.tools["ansible_run"]
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    house.list(replace(house.sshd.host, keys=(other,)))
    assert await run.pins(prepared, parsed) != prepared.pins
    assert (await run.run(prepared, parsed, house.scope, house.watch)).result.status == "refused"
    house.list(house.sshd.host)
    assert await run.pins(prepared, parsed) == prepared.pins
    stored = next(
        p
        for p in (house.data / "estates/home/snapshots/objects").rglob("*")
        if p.is_file() and b"Touch" in p.read_bytes()
    )
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes().replace(b"touch", b"trunc"))
    assert "unreadable" in await run.pins(prepared, parsed)
    assert (await run.run(prepared, parsed, house.scope, house.watch)).result.status == "refused"
    assert not place(house).exists()


async def test_what_is_not_understood_is_asked_about_and_nothing_of_it_runs_before(house: AnsibleHouse) -> None:
    made = place(house)
    playbook = (
        HEAD
        + task("Strange", "expect", command="x", responses={})
        + task("Touch", "command", argv=["touch", str(made)])
    )
    checked = await house.check(playbook)
    assert (checked.status, checked.facts["class"], checked.facts["dry_run"]) == ("ok", "unknown", False)
    assert "No dry run, because what was not understood would run too" in checked.text
    assert house.sshd.logins == house.sshd.logins
    prepared, _ = await house.prepare("ansible_run", check=str(checked.facts["check"]), words="as planned")
    assert isinstance(prepared, Prepared)
    assert prepared.effect.cls is CallClass.UNKNOWN
    assert "expect is not listed" in prepared.effect.reason
    assert not made.exists()


async def test_rule_16_what_acts_on_this_machine_is_refused_before_anything_is_run(house: AnsibleHouse) -> None:
    made = place(house)
    for line in (
        f"    - name: Pipe\n      ansible.builtin.debug: {{msg: \"{{{{ lookup('pipe', 'touch {made}') }}}}\"}}\n",
        f"    - name: Here\n      ansible.builtin.command: {{argv: [touch, {made}]}}\n      delegate_to: localhost\n",
        f"    - name: Here\n      local_action: command touch {made}\n",
    ):
        result = await house.check(HEAD + line)
        assert result.status == "failed"
        assert result.text.startswith("The playbook is refused:\nsite.yml:")
    assert not made.exists()
    runs = house.data / "estates/home/runs"
    assert [p.name for p in runs.glob("*") if "check" in p.name or "ansible" in p.name] == []


async def test_rule_16_connection_local_is_closed_where_the_scan_is_not_asked(house: AnsibleHouse) -> None:
    made = place(house)
    playbook = HEAD + (
        f'    - name: Here\n      ansible.builtin.command: {{argv: [touch, {made}]}}\n      delegate_to: "{{{{ where }}}}"\n'
        "      vars: {where: localhost}\n"
    )  # fmt: skip
    result = await house.approved_anyway(playbook)
    assert result.status == "failed", result.text
    assert "connection local is closed here" in result.text
    assert not made.exists()


async def test_seed_16_a_text_where_a_list_is_declared_is_an_error_before_the_run(house: AnsibleHouse) -> None:
    spec = "argument_specs:\n  main:\n    options:\n      subnets: {type: list, elements: str, required: true}\n"
    await house.write(
        {
            "roles/fw/meta/argument_specs.yml": spec,
            "roles/fw/tasks/main.yml": "- name: Say\n  ansible.builtin.debug: {var: subnets}\n",
        }
    )
    playbook = "- name: Site\n  hosts: all\n  gather_facts: false\n  roles: [fw]\n"
    result = await house.check(playbook, extra_vars={"subnets": "192.168.178.0/24"})
    assert (result.status, result.text) == (
        "failed", "Variables:\nsubnets: takes a list, and is a text ('192.168.178.0/24') (role fw)",
    )  # fmt: skip
    assert "did you mean subnets?" in (await house.check(playbook, extra_vars={"subnet": ["192.168.178.0/24"]})).text
    good = await house.approved(playbook, extra_vars={"subnets": ["192.168.178.0/24"]})
    assert good.status == "ok", good.text


SPEC = "argument_specs:\n  main:\n    options:\n      mirror: {type: str, required: true}\n      names: {type: list, elements: str}\n"


async def test_site_variables_reach_playbooks_and_are_part_of_what_is_approved(house: AnsibleHouse) -> None:
    made, file = place(house), house.data / "site_vars.yaml"
    file.write_text("mirror: http://192.168.178.1:8080\n")
    write = task("Write", "copy", content="{{ mirror }}\n", dest=str(made), mode="0644")
    await house.write(
        {
            "roles/fetch/meta/argument_specs.yml": SPEC,
            "roles/fetch/defaults/main.yml": "mirror: https://dl.k8s.io\n",
            "roles/fetch/tasks/main.yml": textwrap.dedent(write),
        }
    )
    playbook = "- name: Site\n  hosts: all\n  gather_facts: false\n  roles: [fetch]\n"
    prepared, parsed = await house.ready(playbook)
    run = house.tools["ansible_run"]
    file.write_text("mirror: http://192.168.178.66:8080\n")
    changed = (await run.run(prepared, parsed, house.scope, house.watch)).result
    assert (changed.status, changed.text) == ("refused", "Nothing was run: site_variables.sha256 changed. Check again.")
    again, _ = await house.prepare("ansible_run", check=str(prepared.binding["check"]), words="as planned")
    assert isinstance(again, Cannot)
    assert again.text == "The site's variables changed since this was checked: check again."
    assert not made.exists()
    file.write_text("mirror: http://192.168.178.1:8080 # as it was\n")
    assert (await run.run(prepared, parsed, house.scope, house.watch)).result.status == "ok"
    assert made.read_text() == "http://192.168.178.1:8080\n"  # over the role's default


async def test_extra_variable_that_overrides_the_sites_is_named_on_the_card(house: AnsibleHouse) -> None:
    (house.data / "site_vars.yaml").write_text("mirror: http://192.168.178.1:8080\nother: 1\n")
    await house.write(
        {
            "roles/fetch/meta/argument_specs.yml": SPEC,
            "roles/fetch/tasks/main.yml": "- name: Say\n  ansible.builtin.debug: {var: mirror}\n",
        }
    )
    playbook = "- name: Site\n  hosts: all\n  gather_facts: false\n  roles: [fetch]\n"
    prepared, _ = await house.ready(playbook, extra_vars={"mirror": "http://192.168.178.9"})
    assert "Overrides the site's mirror." in prepared.effect.notes
    prepared, _ = await house.ready(playbook)
    assert not any("Overrides" in note for note in prepared.effect.notes)


async def test_site_variables_that_do_not_fit_are_the_operators_to_mend(house: AnsibleHouse) -> None:
    file = house.data / "site_vars.yaml"
    await house.write(
        {
            "roles/fetch/meta/argument_specs.yml": SPEC,
            "roles/fetch/tasks/main.yml": "- name: Say\n  ansible.builtin.debug: {var: mirror}\n",
        }
    )
    playbook = "- name: Site\n  hosts: all\n  gather_facts: false\n  roles: [fetch]\n"
    file.write_text("mirror: m\nnames: a,b\n")
    assert (
        "site_vars.yaml: names: takes a list, and is a text ('a,b') (role fetch)" in (await house.check(playbook)).text
    )
    file.write_text("mirror: \"{{ lookup('pipe', 'id') }}\"\n")
    refused = await house.check(playbook)
    assert refused.status == "failed"
    assert "site_vars.yaml:1: mirror: values are data, not templates" in refused.text


async def test_no_log_is_honoured_everywhere(house: AnsibleHouse) -> None:
    secret = "hunter2-canary"
    playbook = HEAD + (
        f"    - name: Quiet\n      ansible.builtin.command: {{argv: [cat, /nowhere/{secret}]}}\n      no_log: true\n"
    )
    prepared, parsed = await house.ready(playbook)
    result = (await house.tools["ansible_run"].run(prepared, parsed, house.scope, house.watch)).result
    assert result.status == "failed"
    assert "its output is hidden (no_log)" in result.text
    assert secret not in result.text
    assert secret not in prepared.full_text


async def test_a_syntax_error_and_a_playbook_for_nobody_say_so(house: AnsibleHouse) -> None:
    twice = "    - name: Twice\n      ansible.builtin.command: {argv: [id]}\n      loop: [1]\n      with_items: [2]\n"
    bad = await house.check(HEAD + twice)
    assert (bad.status, bad.text.startswith("Syntax: ")) == ("failed", True), bad.text
    assert "duplicate loop" in bad.text
    nobody = await house.check(
        "- name: Site\n  hosts: workers\n  gather_facts: false\n  tasks:\n" + task("Look", "ping")
    )
    assert (nobody.status, "reaches no host" in nobody.text) == ("failed", True)
    limit = await house.check(HEAD + task("Look", "ping"), limit=["cp7"])
    assert "no host or group of the inventory (cp1, control_plane)" in limit.text
    untagged = await house.check(HEAD + task("Look", "ping"), tags=["nothing"])
    assert "reaches no task" in untagged.text


async def test_progress_counts_tasks_and_names_host_and_task(house: AnsibleHouse) -> None:
    playbook = HEAD + task("Slow", "command", argv=["sleep", "3"]) + task("Quick", "command", argv=["true"])
    result = await house.approved(playbook)
    assert result.status == "ok", result.text
    assert any(parts[:3] == ("Ansible", "1 of 2 tasks", "cp1: Slow") for parts in house.watch.told), house.watch.told


async def test_rule_5_stop_interrupts_and_no_half_done_host_is_left_unmentioned(house: AnsibleHouse) -> None:
    begun = place(house, "begun")
    playbook = (
        HEAD + task("First", "command", argv=["touch", str(begun)]) + task("Long", "command", argv=["sleep", "120"])
    )
    prepared, parsed = await house.ready(playbook)
    running = asyncio.ensure_future(house.tools["ansible_run"].run(prepared, parsed, house.scope, house.watch))
    await house.until(begun)
    await asyncio.sleep(1)
    house.watch.stops = 1
    result = (await running).result
    assert result.status == "interrupted", result.text
    assert "cp1 is half done, cut off in: Long" in result.text
    assert result.facts["half_done"] == ["cp1"]
    house.watch.stops = 0
    rest = HEAD + task("First", "command", argv=["touch", str(begun)])
    assert (await house.approved(rest)).status == "ok"


async def test_rule_13_a_run_outlives_its_worker_and_the_next_one_says_how_it_ended(house: AnsibleHouse) -> None:
    begun, made = place(house, "begun"), place(house)
    playbook = (
        HEAD
        + task("First", "command", argv=["touch", str(begun)])
        + task("Long", "command", argv=["sleep", "4"])
        + task("Last", "command", argv=["touch", str(made)])
    )
    prepared, parsed = await house.ready(playbook)
    run = house.tools["ansible_run"]
    before = (await run.recover(prepared, parsed, house.scope, house.watch)).result
    assert (before.status, "Nothing was run" in before.text) == ("failed", True)
    bench = house.workshop.bench("home", run_name(prepared))
    store = house.workshop.snapshots("home")
    manifest = store.load(prepared.snapshot)
    bench.lay_out(store, manifest, list(house.roster().hosts().values()), {}, house.workshop.site.read())
    from tools.ansible_workshop import Asked

    asked = Asked.of(store.take(manifest, "about/asked.json").decode())
    child = bench.start("run", asked.play, ports=[house.sshd.port], survives=True, timeout_s=60)
    await house.until(begun)
    found = (await run.recover(prepared, parsed, house.scope, house.watch)).result
    assert found.status == "ok", found.text
    assert "by an earlier worker" in found.text
    assert made.exists()
    await child.wait()


async def test_rule_13_a_run_that_vanished_is_an_unknown_outcome_host_by_host(house: AnsibleHouse) -> None:
    begun = place(house, "begun")
    playbook = (
        HEAD + task("First", "command", argv=["touch", str(begun)]) + task("Long", "command", argv=["sleep", "60"])
    )
    prepared, parsed = await house.ready(playbook)
    run, bench = house.tools["ansible_run"], house.workshop.bench("home", run_name(prepared))
    running = asyncio.ensure_future(run.run(prepared, parsed, house.scope, house.watch))
    await house.until(begun)
    started = json.loads((bench.root / "run" / "started.json").read_text())
    os.kill(started["warden"], signal.SIGKILL)
    os.killpg(started["pid"], signal.SIGKILL)
    result = (await running).result
    assert result.status == "unknown_outcome", result.text
    assert "cp1 is half done" in result.text
    again = (await run.recover(prepared, parsed, house.scope, house.watch)).result
    assert again.status == "unknown_outcome"


async def test_another_missions_lock_and_a_strange_id_are_refused(house: AnsibleHouse) -> None:
    checked = await house.check(HEAD + task("Look", "ping"))
    house.locks.held["estate/home"] = ("8", "terraform plan 123")
    prepared, _ = await house.prepare("ansible_run", check=str(checked.facts["check"]), words="x")
    assert isinstance(prepared, Cannot)
    assert "mission 8 has it" in prepared.text
    prepared, _ = await house.prepare("ansible_run", check="0123456789ab", words="x")
    assert isinstance(prepared, Cannot)
    assert "ansible_check makes one" in prepared.text


async def test_a_missing_ansible_is_named_before_a_turn_is_spent(house: AnsibleHouse) -> None:
    workshop = replace(house.workshop, kit=replace(house.workshop.kit, folder=house.data / "none"))
    from tools.ansible import AnsibleCheck

    tool = AnsibleCheck(workshop)
    prepared, parsed = await house.prepare("ansible_check", playbook="site.yml")
    assert isinstance(prepared, Prepared)
    refused = await tool.prepare(prepared.call, parsed, house.scope)
    assert isinstance(refused, Cannot)
    assert "run `make setup`" in refused.text
