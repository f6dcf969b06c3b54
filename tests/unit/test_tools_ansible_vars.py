"""Typed extra variables: a wrong type or an unknown name is an error before anything runs (seed failure 16)."""

from typing import Any

import pytest

from tools.ansible_vars import check

OPTIONS: dict[str, Any] = {
    "subnets": {"type": "list", "elements": "str"},
    "port": {"type": "int"},
    "mode": {"type": "str", "choices": ["on", "off"]},
    "flag": {"type": "bool"},
    "nodes": {"type": "list", "elements": "dict", "options": {"name": {"type": "str", "required": True}, "weight": {"type": "float"}}},
    "free": {"type": "raw"},
}  # fmt: skip


def wrong(extra: dict[str, Any], declared: dict[str, list[Any]] | None = None, **needed: Any) -> list[str]:
    return check(extra, {"fw": {"argument_specs": {"main": {"options": {**OPTIONS, **needed}}}}}, declared or {})


@pytest.mark.parametrize(
    "extra",
    [
        {"subnets": ["192.168.178.0/24"], "port": 22, "mode": "on", "flag": False},
        {"nodes": [{"name": "cp1", "weight": 1}]},
        {"free": {"any": ["thing"]}},
        {},
    ],
)
def test_what_fits_is_let_through(extra: dict[str, Any]) -> None:
    assert wrong(extra) == []


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"subnets": "192.168.178.0/24"}, "subnets: takes a list, and is a text"),
        ({"subnets": "a,b"}, "subnets: takes a list"),
        ({"subnets": [1]}, "subnets[0]: takes a text, and is a number"),
        ({"port": "22"}, "port: takes a whole number, and is a text"),
        ({"port": True}, "port: takes a whole number, and is true or false"),
        ({"flag": "no"}, "flag: takes true or false, and is a text"),
        ({"mode": "maybe"}, "mode: 'maybe' is none of on, off"),
        ({"nodes": [{"weight": 1}]}, "nodes[0].name: is needed"),
        ({"nodes": [{"name": "x", "wieght": 1}]}, "nodes[0].wieght: is not declared; known: name, weight"),
        ({"subnet": ["x"]}, "subnet: nothing in the playbook declares it; did you mean subnets?"),
        ({"zzz": 1}, "zzz: nothing in the playbook declares it. Known: flag, free"),
        ({"subnets": ["{{ lookup('pipe', 'id') }}"]}, "subnets: values are data, not templates"),
        ({"ansible_connection": "local"}, "ansible_connection: how hosts are reached is the inventory's word"),
        ({"ansible_ssh_common_args": "-o x"}, "how hosts are reached"),
    ],
)
def test_what_does_not_fit_says_what_would(extra: dict[str, Any], words: str) -> None:
    found = wrong(extra)
    assert any(words in text for text in found), found


def test_a_needed_variable_that_nothing_sets_is_named() -> None:
    key: dict[str, Any] = {"key": {"type": "str", "required": True}}
    assert wrong({}, **key) == ["key: role fw needs it, and nothing sets it"]
    assert wrong({}, {"key": ["x"]}, **key) == []


def test_variables_of_the_code_that_contradict_the_role_are_errors_too() -> None:
    assert wrong({}, {"subnets": ["192.168.178.0/24"]})[0].startswith("subnets: takes a list")
    assert wrong({}, {"subnets": ["{{ all_subnets }}"]}) == []


def test_without_a_declaration_the_value_in_the_code_says_the_type() -> None:
    found = check({"ports": "80"}, {"web": None}, {"ports": [[80, 443]]})
    assert found == ["ports: is a list in the code, and a text here ('80')"]
    assert check({"ports": [80]}, {"web": None}, {"ports": [[80, 443]]}) == []
