"""The static allow list for playbooks: what is refused, what is asked about, what is understood, and with which class."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.calls import CallClass
from tests.ansible_house import POLICY, classify
from tools.ansible_jinja import problems
from tools.ansible_policy import load_playbook_policy
from tools.ansible_scan import Code, Scan, scan

RULES = load_playbook_policy(POLICY)
HOSTS = frozenset({"cp1", "cp2"})


def look(site: str, vetted: frozenset[str] = frozenset(), /, **files: str) -> Scan:
    """`roles__base__tasks__main=…` is roles/base/tasks/main.yml."""
    contents = {name.replace("__", "/").replace("_dot_", ".") + ("" if "_dot_" in name else ".yml"): text.encode()
                for name, text in files.items()}  # fmt: skip
    return scan(Code({"site.yml": site.encode(), **contents}, vetted, RULES, classify, HOSTS), "site.yml")


def play(*tasks: str, head: str = "") -> str:
    body = "".join(f"    - {task}\n" for task in tasks)
    return f"- hosts: all\n{head}  tasks:\n{body}"


def one(task: str) -> Scan:
    return look(play(task))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("debug: {msg: \"{{ lookup('pipe', 'id') }}\"}", "looks up 'pipe'"),
        ("debug: {msg: \"{{ lookup('ansible.builtin.env', 'HOME') }}\"}", "looks up 'env'"),
        ("debug: {msg: \"{{ query('url', 'http://x') }}\"}", "looks up 'url'"),
        ("debug: {msg: \"{{ q('lines', 'id') }}\"}", "looks up 'lines'"),
        ("debug: {msg: \"{% set l = lookup %}{{ l('pipe', 'id') }}\"}", "uses lookup other than"),
        ("debug: {msg: \"{{ lookup(which, 'id') }}\"}", "uses lookup other than"),
        ("debug: {msg: \"{{ lookup('file', '/etc/passwd') }}\"}", "another path than a plain one"),
        ("debug: {msg: \"{{ lookup('file', '../ssh/key') }}\"}", "another path than a plain one"),
        ("debug: {msg: \"{{ lookup('file', path) }}\"}", "another path than a plain one"),
        ("debug: {msg: \"{{ ''.__class__ }}\"}", "two underscores"),
        ("debug: {msg: \"{{ x | attr('a') }}\"}", "the filter attr"),
        ("debug: {msg: \"{{ '/etc/*' | fileglob }}\"}", "the filter fileglob"),
        ("debug: {msg: \"{{ '$HOME' | expandvars }}\"}", "the filter expandvars"),
        ("{debug: {msg: x}, when: \"lookup('pipe', 'id') == 'x'\"}", "looks up 'pipe'"),
        ("{debug: {msg: x}, until: \"q('pipe', 'id')\"}", "looks up 'pipe'"),
        ("{debug: {msg: x}, with_pipe: id}", "with_pipe"),
        ("{debug: {msg: x}, with_ansible.builtin.lines: id}", "with_ansible.builtin.lines"),
        ("{command: id, delegate_to: localhost}", "delegate_to localhost"),
        ("{command: id, delegate_to: 127.0.0.1}", "delegate_to localhost"),
        ("{command: id, delegate_to: elsewhere}", "no such host"),
        ("{local_action: command id}", "local_action"),
        ("{command: id, connection: local}", "connection"),
        ("{command: id, become_exe: /tmp/x}", "become_exe"),
        ("{command: id, vars: {ansible_connection: local}}", "sets ansible_connection"),
        ("set_fact: {ansible_host: 10.0.0.1}", "sets ansible_host"),
        ("{debug: {msg: x}, loop: [local], loop_control: {loop_var: ansible_connection}}", "sets ansible_connection"),
        ("copy: {src: /root/.ssh/id_ed25519, dest: /tmp/x}", "none of the playbook's own files"),
        ("copy: {src: ../ssh/key, dest: /tmp/x}", "none of the playbook's own files"),
        ("template: {src: a.j2, dest: /tmp/x, variable_start_string: '[['}", "Jinja's delimiters"),
        ("command: [a, b]", "as a mapping"),
        ("apt: name=nginx state=absent", "as a mapping"),
        ("{debug: {msg: x}, command: id}", "one module"),
        ("{name: nothing}", "one module"),
        ("{action: command id}", "action hides"),
        ("{command: dd if=/dev/zero of=/dev/sda}", "is forbidden"),
        ("import_tasks: nowhere.yml", "no file 'nowhere.yml'"),
        ("import_role: {name: nowhere}", "no role 'nowhere'"),
    ],
)  # fmt: skip
def test_rule_16_what_acts_on_the_machine_that_runs_playbooks_is_refused(task: str, words: str) -> None:
    found = [one.text for one in one(task).wrong]
    assert any(words in text for text in found), found
    assert one(task).no_dry_run


@pytest.mark.parametrize(
    "site",
    [
        "- hosts: localhost\n  tasks: []\n",
        "- hosts: all,127.0.0.1\n  tasks: []\n",
        "- hosts: all\n  connection: local\n  tasks: []\n",
        "- hosts: all\n  vars_prompt: []\n  tasks: []\n",
        "- hosts: all\n  collections: [community.general]\n  tasks: []\n",
        "- hosts: all\n  strategy: host_pinned\n  tasks: []\n",
        "- hosts: all\n  remote_user: root\n  tasks: []\n",
        "- tasks: []\n",
        "- hosts: all\n  vars: {x: !vault abc}\n  tasks: []\n",
        "- hosts: all\n  tasks: nothing\n",
        "hosts: all\n",
        "- [a\n",
    ],
)
def test_plays_that_say_how_to_connect_or_are_none_are_refused(site: str) -> None:
    assert look(site).wrong


@pytest.mark.parametrize(
    "file",
    [
        "ansible_dot_cfg", "roles__x__library__ping_dot_py", "filter_plugins__x_dot_py", "lookup_plugins__x_dot_py",
        "collections__x_dot_txt", "inventory__hosts_dot_sh", "roles__x__module_utils__y_dot_py", "callback_plugins__x_dot_py",
    ],
)  # fmt: skip
def test_rule_16_what_ansible_would_load_by_itself_is_refused(file: str) -> None:
    found = look(play("ping: {}"), **{file: "x"}).wrong
    assert any("would be loaded by itself" in one.text for one in found)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("community.general.modprobe: {name: overlay}", "is not listed"),
        ("script: x.sh", "as a mapping"),
        ("fetch: {src: /etc/shadow, dest: x}", "is not listed"),
        ("add_host: {name: x}", "is not listed"),
        ('include_tasks: "{{ which }}.yml"', "only when it runs"),
        ('include_role: {name: "{{ which }}"}', "cannot be followed"),
        ("import_tasks: /etc/x.yml", "no plain path"),
        ('{command: id, delegate_to: "{{ where }}"}', "only when it runs"),
        ('template: {src: "{{ item }}.j2", dest: /tmp/x}', "only when it runs"),
        ("meta: refresh_inventory", "is not known here"),
        ('{debug: {msg: x}, args: "{{ x }}"}', "only when it runs"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_asked_about(task: str, words: str) -> None:
    scanned = one(task)
    assert any(words in one.text for one in scanned.found), scanned.found
    assert scanned.no_dry_run


@pytest.mark.parametrize(
    ("task", "cls"),
    [
        ("ping: {}", CallClass.CHANGE),
        ("ansible.builtin.stat: {path: /etc}", CallClass.CHANGE),
        ("apt: {name: nginx}", CallClass.CHANGE),
        ("apt: {name: nginx, state: absent}", CallClass.DESTROY),
        ('apt: {name: nginx, state: "{{ state }}"}', CallClass.DESTROY),
        ("apt: {autoremove: yes}", CallClass.DESTROY),
        ("file: {path: /srv/x, state: absent}", CallClass.DESTROY),
        ("service: {name: kubelet, state: restarted}", CallClass.CHANGE),
        ("service: {name: kubelet, state: stopped}", CallClass.DESTROY),
        ("reboot: {}", CallClass.DESTROY),
        ("user: {name: x}", CallClass.DESTROY),
        ("copy: {content: x, dest: /etc/sudoers.d/x}", CallClass.DESTROY),
        ("lineinfile: {path: /root/.ssh/authorized_keys, line: x}", CallClass.DESTROY),
        ("copy: {content: x, dest: /etc/motd}", CallClass.CHANGE),
        ("slurp: {src: /etc/shadow}", CallClass.CHANGE),
        ("command: id", CallClass.CHANGE),
        ('command: {argv: [cat, "{{ file }}"]}', CallClass.CHANGE),
        ("shell: rm -rf /srv", CallClass.DESTROY),
        ("command: kubeadm reset", CallClass.UNKNOWN),
        ("command: cat {{ file }}", CallClass.UNKNOWN),
        ('command: {argv: ["{{ program }}", x]}', CallClass.UNKNOWN),
        ("{command: id, environment: {LD_PRELOAD: x}}", CallClass.UNKNOWN),
        ("command: {cmd: cat, stdin: x}", CallClass.UNKNOWN),
        ("{block: [{ping: {}}], rescue: [{reboot: {}}]}", CallClass.DESTROY),
    ],
)  # fmt: skip
def test_the_class_is_the_worst_of_all_tasks_and_a_playbook_is_at_least_a_change(task: str, cls: CallClass) -> None:
    scanned = one(task)
    assert scanned.wrong == []
    assert scanned.cls is cls, [(step.cls, step.why) for step in scanned.steps]


def test_a_command_that_is_not_understood_is_asked_about_and_may_run_dry() -> None:
    scanned = one("command: kubeadm init")
    assert (scanned.cls, scanned.unknown, scanned.no_dry_run) == (CallClass.UNKNOWN, [], "")


def test_check_mode_false_is_shown_and_keeps_a_change_from_running_dry() -> None:
    changing = one("{command: touch /x, check_mode: false, name: Touch}")
    assert "site.yml:3 sets check_mode: false" in changing.no_dry_run
    assert one("{command: id, check_mode: false}").no_dry_run == ""
    assert one('{command: touch /x, check_mode: "{{ x }}"}').no_dry_run


def test_roles_includes_dependencies_handlers_and_variables_are_followed() -> None:
    scanned = look(
        "- hosts: all\n  vars_files: [vars/site.yml]\n  roles:\n    - {role: base, zone: UTC}\n",
        vars__site="a: 1\n",
        group_vars__all="b: [1]\n",
        roles__base__tasks__main="- import_tasks: more.yml\n- include_role: {name: late}\n",
        roles__base__tasks__more="- command: rm x\n  name: Removes\n",
        roles__base__handlers__main="- name: Restart\n  service: {name: x, state: restarted}\n",
        roles__base__defaults__main="c: text\n",
        roles__base__meta__main="dependencies: [needed]\n",
        roles__base__meta__argument_specs="argument_specs: {main: {options: {c: {type: str}}}}\n",
        roles__needed__tasks__main="- reboot: {}\n",
        blueprints__roles__late__tasks__main="- user: {name: x}\n",
    )
    assert scanned.found == []
    assert [step.name for step in scanned.steps] == ["Restart", "reboot", "Removes", "user"] or sorted(
        step.name for step in scanned.steps
    ) == ["Removes", "Restart", "reboot", "user"]
    assert {"a", "b", "c", "zone"} <= set(scanned.declared)
    assert set(scanned.roles) == {"base", "needed", "late"}
    assert "roles/base/tasks/more.yml" in scanned.files


def test_a_template_file_is_looked_at_as_the_template_that_it_is() -> None:
    scanned = look(play("template: {src: x.j2, dest: /etc/motd}"), templates__x_dot_j2="{{ lookup('pipe', 'id') }}")
    assert [one.where for one in scanned.wrong] == ["templates/x.j2"]
    scanned = look(
        play("ping: {}"), templates__x_dot_j2="#jinja2:variable_start_string:'[['\n[[ lookup('pipe','id') ]]{{ x }}"
    )
    assert scanned.wrong


@pytest.mark.parametrize("name", ["notes_dot_md", "main_dot_tf", "values_dot_json", "other", "script_dot_sh"])
def test_rule_16_no_name_of_a_file_keeps_it_from_being_looked_at_as_a_template(name: str) -> None:
    scanned = look(play("template: {src: x, dest: /etc/motd}"), **{name: "# {{ lookup('pipe', 'id') }}\n"})
    assert any("looks up 'pipe'" in one.text for one in scanned.wrong)


def test_an_environment_for_many_tasks_is_asked_about() -> None:
    assert look(play("command: id", head="  environment: {LD_PRELOAD: x}\n")).unknown
    assert one("{block: [{command: id}], environment: {LD_PRELOAD: x}}").unknown


def test_a_vetted_blueprint_answers_for_its_commands() -> None:
    files = {"blueprints__roles__k8s__tasks__main": "- command: kubeadm init\n"}
    site = "- hosts: all\n  roles: [k8s]\n"
    assert look(site, **files).cls is CallClass.UNKNOWN
    vetted = look(site, frozenset({"blueprints/roles/k8s/tasks/main.yml"}), **files)
    assert (vetted.cls, "vetted blueprint" in vetted.steps[0].why) == (CallClass.CHANGE, True)


def test_delegation_to_the_first_of_a_group_is_understood() -> None:
    assert one("{command: id, delegate_to: \"{{ groups['control_plane'][0] }}\"}").found == []
    assert one("{command: id, delegate_to: cp2}").found == []


def test_import_playbook_is_followed_from_where_it_stands() -> None:
    scanned = look("- import_playbook: more/site.yml\n", more__site="- hosts: localhost\n  tasks: []\n")
    assert [one.where for one in scanned.wrong] == ["more/site.yml:1"]


def test_a_bomb_of_aliases_is_not_followed_for_ever() -> None:
    levels = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    scanned = look("- hosts: all\n  vars:\n  tasks: []\n", group_vars__all="x:\n  l0: &l0 [a]\n" + levels)
    assert any("larger than what is followed" in one.text for one in scanned.unknown)


@given(st.text(alphabet=st.sampled_from("{}%'\" lookupq(),pipe_|._\n"), max_size=80))
def test_no_text_that_reaches_a_look_up_passes_unseen(text: str) -> None:
    """Whatever surrounds it: an expression that calls an unlisted look-up is found."""
    assert list(problems("{{ lookup('pipe', 'id') }}" + text, RULES))


def test_every_rule_of_the_file_is_used() -> None:
    written = yaml.safe_load(Path(POLICY).read_text())
    for name in written["modules"]:
        assert RULES.rule(f"ansible.builtin.{name}") is not None
