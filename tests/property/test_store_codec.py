"""Whatever the domain's types can hold comes back from the store as it went in."""

import dataclasses
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.approvals import ApprovalRequest, Vote
from bot.domain.calls import ToolResult
from bot.domain.ids import Json
from bot.domain.inbound import Immediate, Ordered, Said
from bot.domain.log import Entry
from bot.domain.posts import Body, Post
from bot.domain.state import Mission
from bot.domain.storage import AuditEvent
from bot.store import codec

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a domain type: hypothesis would build mappings and sequences that JSON cannot tell apart."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    if kind is Json:
        return JSON
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        make = cast("Callable[..., Any]", kind)
        return st.builds(make, **{one.name: of(hints[one.name]) for one in dataclasses.fields(kind)})
    origin, args = get_origin(kind), get_args(kind)
    if origin in {typing.Union, UnionType}:
        return st.one_of([of(arg) for arg in args])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple and args[-1] is not Ellipsis:
        return st.tuples(*(of(arg) for arg in args))
    if origin in {tuple, frozenset}:
        items = st.lists(of(args[0]), max_size=3, unique=origin is frozenset)
        gather = cast("Callable[[list[Any]], Any]", origin)
        return items.map(gather)
    if origin in {Mapping, dict}:
        return st.dictionaries(of(args[0]), of(args[1]), max_size=3)
    if origin is Sequence:
        return st.lists(of(args[0]), max_size=3)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False, allow_infinity=False),
        datetime: TIMES,
        type(None): st.none(),
        bool: st.booleans(),
    }
    return plain[kind] if kind in plain else st.sampled_from(list(kind))  # else an enumeration


CODECS: list[tuple[codec.Codec[Any], Any]] = [
    (codec.SAID, Said),
    (codec.IMMEDIATE, Immediate),
    (codec.ORDERED, Ordered),
    (codec.REQUEST, ApprovalRequest),
    (codec.VOTE, Vote),
    (codec.RESULT, ToolResult),
    (codec.MISSION, Mission),
    (codec.AUDIT, AuditEvent),
    *((codec.ENTRY, kind) for kind in get_args(Entry)),
]


@pytest.mark.parametrize(("one", "kind"), CODECS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_value_comes_back_as_it_went_in(one: codec.Codec[Any], kind: Any) -> None:
    @settings(max_examples=25, deadline=None)
    @given(of(kind))
    def comes_back(value: Any) -> None:
        text = one.dump(value)
        assert one.load(text) == value
        assert json.loads(text)  # one line of plain JSON, readable with redis-cli

    comes_back()


@pytest.mark.parametrize("body", get_args(Body))
def test_a_post_comes_back_with_its_kind_of_body(body: type[Any]) -> None:
    @settings(max_examples=15, deadline=None)
    @given(of(Post), of(body))
    def comes_back(post: Post, inside: Any) -> None:
        post = dataclasses.replace(post, body=inside)
        text = codec.POST.dump(post)
        assert codec.POST.load(text) == post
        assert codec.POST.dump(codec.POST.load(text)) == text  # the outbox knows by it that nothing changed

    comes_back()


@given(st.text(alphabet=st.characters(categories=["Cs", "L", "Cc"]), max_size=20))
def test_no_text_is_too_broken_to_be_stored(text: str) -> None:
    vote = Vote(typing.cast("Any", "U1"), "deny", text, datetime(2026, 1, 1, tzinfo=UTC))
    back = codec.VOTE.load(codec.VOTE.dump(vote))
    assert len(back.reason) == len(text)
    assert all(now == was for now, was in zip(back.reason, text, strict=True) if not 0xD800 <= ord(was) <= 0xDFFF)
