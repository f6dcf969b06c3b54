"""The operator's variables for every playbook: data only, and every mistake with file, line, key and mend."""

from pathlib import Path
from typing import Any

import pytest

from tools.ansible_vars import check
from tools.hosts import inventory
from tools.site_vars import SiteFile, SiteFileError, SiteVariables

GOOD = """\
# the lab's mirror
kubernetes_version: "1.33.13"
kubernetes_images:
  - {name: "registry.k8s.io/pause:3.10", url: "http://192.168.178.1:8080/images/pause.tar", sha256: "00"}
etcd_quota: 2147483648
swap_off: true
proxy:
"""


def written(tmp_path: Path, text: str) -> SiteFile:
    path = tmp_path / "policies" / "site_vars.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return SiteFile(path)


def test_values_keep_their_types(tmp_path: Path) -> None:
    found = written(tmp_path, GOOD).read()
    assert found.shown == "policies/site_vars.yaml"
    assert found.values["kubernetes_version"] == "1.33.13"
    assert (found.values["etcd_quota"], found.values["swap_off"], found.values["proxy"]) == (2147483648, True, None)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}\n"])
def test_empty_file_is_no_variables(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text).read().values == {}


def test_missing_file_is_a_mistake_only_where_the_operator_named_it(tmp_path: Path) -> None:
    assert SiteFile(tmp_path / "site_vars.yaml").read().values == {}
    assert SiteFile().read() == SiteVariables()
    with pytest.raises(SiteFileError, match=r"site_vars\.yaml.*No such file"):
        SiteFile(tmp_path / "site_vars.yaml", needed=True).read()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a: 1\nb: \'{{ lookup("pipe", "id") }}\'\n', "policies/site_vars.yaml:2: b: values are data, not templates"),
        ("a:\n  - {url: 'x{% raw %}'}\n", "policies/site_vars.yaml:2: a.0.url: values are data"),
        ("a: 'x {# note #}'\n", "policies/site_vars.yaml:1: a: values are data"),
        ("a: {'{{ k }}': 1}\n", "a.{{ k }}: a key is a text"),
        ("ansible_host: 10.0.0.1\n", "site_vars.yaml:1: ansible_host: this name is Ansible's own"),
        ("ansible_become_password: x\n", "ansible_become_password: this name is Ansible's own"),
        ("hostvars: {}\n", "hostvars: this name is Ansible's own"),
        ("no-dashes: 1\n", "no-dashes: this is no variable's name"),
        ("1: 1\n", "1: this is no variable's name"),
        ("a: 2026-11-26\n", "a: '2026-11-26' is neither text, number"),
        ("a: .nan\n", "a: 'nan' is neither text, number"),
        ("a: 1\na: 2\n", "the key 'a' stands twice"),
        ("a: !unsafe x\n", "this is no YAML"),
        ("a: !!python/object/apply:os.system [id]\n", "this is no YAML"),
        ("- a\n", "policies/site_vars.yaml: it is no mapping"),
        ("a: [\n", "this is no YAML"),
        (f"a: '{'x' * 300_000}'\n", "it is longer than 256 KiB"),
    ],
)
def test_rule_16_what_is_no_plain_data_is_refused_with_file_line_and_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SiteFileError) as refused:
        written(tmp_path, text).read()
    assert words in str(refused.value)


def test_any_change_of_a_value_or_its_type_is_another_digest(tmp_path: Path) -> None:
    texts = ("", "a: 1\n", "a: '1'\n", "a: true\n", "a: [1]\n", "b: 1\n")
    assert len({written(tmp_path, text).read().digest for text in texts}) == len(texts)
    assert written(tmp_path, "a: 1\nb: 2\n").read().digest == written(tmp_path, "b: 2 # why\na: 1\n").read().digest


def test_inventory_carries_them_beside_its_own_and_cannot_be_overwritten_by_them() -> None:
    made: Any = inventory([], {"a": 1, "ansible_interpreter_python_fallback": ["/tmp/python"]})
    assert made["all"]["vars"]["a"] == 1
    assert made["all"]["vars"]["ansible_interpreter_python_fallback"][0] == "/usr/bin/python3"


SPEC = {"k8s": {"argument_specs": {"main": {"options": {
    "kubernetes_images": {"type": "list", "elements": "dict"}, "endpoint": {"type": "str", "required": True},
}}}}}  # fmt: skip


def test_site_values_are_checked_against_what_the_roles_declare_and_the_operator_is_named() -> None:
    site = SiteVariables(
        {"kubernetes_images": "a,b", "endpoint": "192.168.178.30", "others": 1}, "policies/site_vars.yaml"
    )
    assert check({}, SPEC, {}, site) == [
        "policies/site_vars.yaml: kubernetes_images: takes a list, and is a text ('a,b') (role k8s); the operator has to mend it",
    ]


def test_required_variable_may_come_from_the_site() -> None:
    assert check({}, SPEC, {}) == ["endpoint: role k8s needs it, and nothing sets it"]
    assert check({}, SPEC, {}, SiteVariables({"endpoint": "192.168.178.30"})) == []
