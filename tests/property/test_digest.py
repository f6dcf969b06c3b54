"""The digest: one value, one digest; another value, another digest."""

import json
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.calls import CallClass, Effect, Prepared
from bot.domain.digest import NotCanonicalError, canonical, digest_of
from bot.gate.binding import digest_of_call
from tests.fakes import call

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
    lambda text: unicodedata.normalize("NFC", text)
)
SCALARS = st.none() | st.booleans() | st.integers() | TEXT
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_rule_11_the_canonical_form_reads_back_as_the_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value


@given(VALUES, VALUES)
def test_rule_11_two_values_share_a_digest_only_if_they_are_one(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest_of(one) == digest_of(other)) == same


@given(st.dictionaries(TEXT, VALUES, max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_one_in_every_unicode_form(text: str) -> None:
    assert digest_of(unicodedata.normalize("NFD", text)) == digest_of(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), {"a": [1, 0.25]}])
def test_what_has_no_single_form_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonicalError):
        digest_of(value)


def test_whole_floats_are_whole_numbers_and_a_key_stands_once() -> None:
    assert digest_of(2.0) == digest_of(2)
    with pytest.raises(NotCanonicalError, match="stands twice"):
        digest_of({"é": 1, "e\u0301": 2})


PREPARED = Prepared(
    call("terraform_apply"), Effect(CallClass.CHANGE, "r", "why"), {"plan": "a"}, "snap", {"serial": "3"}, "rev"
)
CHANGES: dict[str, Any] = {
    "binding": st.dictionaries(TEXT, SCALARS, max_size=3),
    "snapshot": TEXT,
    "revision": TEXT,
    "pins": st.dictionaries(TEXT, TEXT, max_size=3),
}


def _digest(prepared: Prepared, environment: str = "production", estate: str = "home", version: str = "v1") -> str:
    return digest_of_call(prepared, environment=environment, estate=estate, policy_version=version)


@given(st.sampled_from(sorted(CHANGES)), st.data())
def test_rule_11_a_change_of_any_part_changes_the_digest(name: str, data: st.DataObject) -> None:
    value = data.draw(CHANGES[name])
    changed = replace(PREPARED, **{name: value})
    assert (_digest(changed) == _digest(PREPARED)) == (changed == PREPARED)


@given(TEXT, TEXT, TEXT)
def test_rule_11_environment_estate_and_policies_are_covered(environment: str, estate: str, version: str) -> None:
    same = (environment, estate, version) == ("production", "home", "v1")
    assert (_digest(PREPARED, environment, estate, version) == _digest(PREPARED)) == same


def test_who_proposed_it_and_when_does_not_change_the_digest() -> None:
    other = replace(PREPARED, call=replace(PREPARED.call, id=call("x", number=9).id, turn=9), full_text="words")
    assert _digest(other) == _digest(PREPARED)
    assert _digest(replace(PREPARED, call=call("terraform_destroy"))) != _digest(PREPARED)


def test_pins_read_again_stand_in_for_the_prepared_ones() -> None:
    again = digest_of_call(PREPARED, environment="production", estate="home", policy_version="v1", pins={"serial": "4"})
    assert again == _digest(replace(PREPARED, pins={"serial": "4"}))
