"""Terraform's own sensitivity marks, in every shape that they come in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.ids import Json
from bot.policy.terraform_marks import MARKED, mask

PLAN: dict[str, Json] = {
    "resource_changes": [
        {
            "address": "a",
            "change": {
                "actions": ["update"],
                "before": {"name": "cp1", "password": "old-one", "keys": ["k1", "k2"]},
                "before_sensitive": {"password": True, "keys": [False, True]},
                "after": {"name": "cp1", "password": "new-one", "keys": ["k1", "k3"], "more": {"pin": 5, "x": None}},
                "after_sensitive": {"password": True, "keys": [False, True], "more": {"pin": True, "x": True}},
            },
        }
    ],
    "planned_values": {
        "outputs": {"join": {"sensitive": True, "value": "kubeadm-x"}, "ip": {"sensitive": False, "value": "10.0.0.1"}},
        "root_module": {"resources": [{"values": {"a": "b", "c": "d-secret"}, "sensitive_values": {"c": True}}]},
    },
    "variables": {"vm_password": {"value": "var-secret"}, "node": {"value": "pve1"}},
    "configuration": {
        "root_module": {"variables": {"vm_password": {"sensitive": True, "default": "dflt-secret"}, "node": {}}}
    },
}


def test_rule_22_a_plan_keeps_its_shape_and_loses_what_is_marked() -> None:
    masked = mask(PLAN)
    document: Any = masked.document
    change = document["resource_changes"][0]["change"]
    assert change["before"] == {"name": "cp1", "password": MARKED, "keys": ["k1", MARKED]}
    assert change["after"] == {
        "name": "cp1", "password": MARKED, "keys": ["k1", MARKED], "more": {"pin": MARKED, "x": None},
    }  # fmt: skip
    assert document["planned_values"]["outputs"] == {
        "join": {"sensitive": True, "value": MARKED}, "ip": {"sensitive": False, "value": "10.0.0.1"},
    }  # fmt: skip
    assert document["planned_values"]["root_module"]["resources"][0]["values"] == {"a": "b", "c": MARKED}
    assert document["variables"] == {"vm_password": {"value": MARKED}, "node": {"value": "pve1"}}
    assert document["configuration"]["root_module"]["variables"]["vm_password"]["default"] == MARKED
    assert masked.secrets == {"old-one", "k2", "new-one", "k3", "kubeadm-x", "d-secret", "var-secret", "dflt-secret"}


def test_rule_22_a_raw_state_is_masked_by_its_paths() -> None:
    steps = [{"type": "get_attr", "value": "users"}, {"type": "index", "value": {"value": 1, "type": "number"}}]
    state: Json = {
        "outputs": {"token": {"value": {"a": "out-secret"}, "sensitive": True}},
        "resources": [
            {
                "instances": [
                    {
                        "attributes": {"users": ["ana", "hidden"], "password": "pw-secret", "name": "cp1"},
                        "sensitive_attributes": [
                            [{"type": "get_attr", "value": "password"}],
                            steps,
                            [{"type": "get_attr", "value": "gone"}],
                            [{"type": "index", "value": {"value": 7}}],
                            [None, {"type": "get_attr"}, {"type": "get_attr", "value": "password"}],
                        ],
                    }
                ]
            }
        ],
    }
    document: Any = mask(state).document
    assert document["resources"][0]["instances"][0]["attributes"] == {
        "users": ["ana", MARKED],
        "password": MARKED,
        "name": "cp1",
    }
    assert document["outputs"]["token"]["value"] == MARKED
    assert mask(state).secrets == {"out-secret", "pw-secret", "hidden"}


def test_a_path_that_cannot_be_read_hides_everything() -> None:
    document: Any = mask({"attributes": {"a": "x-secret"}, "sensitive_attributes": ["no path"]}).document
    assert document["attributes"] == MARKED


@pytest.mark.parametrize(
    ("value", "marks", "expected"),
    [
        ({"a": 1}, True, MARKED),
        (None, True, None),
        ({"a": 1}, False, {"a": 1}),
        ({"a": 1}, [True], {"a": 1}),
        (["a", "b"], [True], [MARKED, "b"]),
        ("text", [True], "text"),
        ("text", {"a": True}, "text"),
        ({"a": ["x", {"b": None, "c": 2, "d": True}]}, True, MARKED),
    ],
)
def test_a_mask_of_another_shape_hides_what_it_fits(value: Json, marks: Json, expected: Json) -> None:
    document: Any = mask({"after": value, "after_sensitive": marks}).document
    assert document["after"] == expected


def test_everything_under_a_mark_is_a_secret() -> None:
    masked = mask({"after": {"a": ["x-1", {"b": "y-2", "c": 3, "d": None}]}, "after_sensitive": True})
    assert masked.secrets == {"x-1", "y-2"}


def test_a_secret_marked_twice_is_learned_once_and_not_as_a_mark() -> None:
    inner: Json = {"values": {"p": "deep-secret"}, "sensitive_values": {"p": True}}
    masked = mask({"values": {"inner": inner}, "sensitive_values": {"inner": True}})
    assert masked.secrets == {"deep-secret"}


def test_a_document_without_marks_stays_as_it_is() -> None:
    document: Json = {
        "a": [1, 2.5, None, True, {"b": "c"}],
        "variables": {"x": {"value": 1}},
        "configuration": {"root_module": []},
    }
    assert mask(document).document == document
    assert mask([]).document == []
    assert mask({"attributes": {"a": 1}, "sensitive_attributes": "x"}).document == {
        "attributes": {"a": 1},
        "sensitive_attributes": "x",
    }


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_no_mask_breaks_it_and_nothing_marked_at_the_top_survives(value: Any, marks: Any) -> None:
    mask({"before": value, "before_sensitive": marks, "values": marks, "sensitive_values": value})
    whole: Any = mask({"after": value, "after_sensitive": True}).document
    assert whole["after"] in (None, MARKED)
