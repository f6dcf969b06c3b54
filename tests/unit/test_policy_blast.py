"""What a call takes with it: resources, shares of groups that vote, the last one of a group."""

from dataclasses import replace

import pytest

from bot.domain.calls import CallClass, Effect, Item, Target
from bot.domain.estate import Machine, Timing
from bot.policy.blast import UNREADABLE, Blast, Share, blast_of

THREE = (
    Machine("cp1", ("control_plane", "etcd"), "pve1"),
    Machine("cp2", ("control_plane",), "pve2"),
    Machine("cp3", ("control_plane", "etcd"), "pve1"),
    Machine("web1", ("web",), "pve2"),
)
QUORUMS = ("control_plane", "etcd")
CLOSED = Timing("closed", words="not now")


def effect(
    *items: Item,
    cls: CallClass = CallClass.DESTROY,
    targets: tuple[Target, ...] = (),
    counts: tuple[int, int, int] = (0, 0, 0),
) -> Effect:
    create, change, destroy = counts
    return Effect(cls, "rule", "reason", targets=targets, items=items, create=create, change=change, destroy=destroy)


def blast(what: Effect, away: frozenset[str] = frozenset(), machines: tuple[Machine, ...] | None = THREE) -> Blast:
    return blast_of(what, machines, QUORUMS, away, CLOSED)


@pytest.mark.parametrize(
    ("names", "away", "lines", "share", "loses", "last"),
    [
        (["web1"], [], [], 0, False, []),
        (["cp2"], [], ["cp2: 1 of 3 control_plane: 2 left, a majority"], 34, False, []),
        (["cp2"], ["cp1"], ["cp2: 1 of 3 control_plane, 1 in maintenance: 1 left, no majority, which is 2"], 34, True, []),
        (["cp2"], ["cp1", "cp3"], ["cp2 is the last control_plane of 3: the others are in maintenance"], 34, True,
         ["control_plane"]),
        (["cp2"], ["cp2"], ["cp2: 1 of 3 control_plane: 2 left, a majority"], 34, False, []),
        (["cp1"], [], ["cp1: 1 of 3 control_plane: 2 left, a majority", "cp1: 1 of 2 etcd: 1 left, no majority, which is 2"],
         50, True, []),
        (["pve1"], [], ["pve1 holds 2 of 3 control_plane (cp1, cp3): 1 left, no majority, which is 2",
                        "pve1 holds 2 of 2 etcd (cp1, cp3), none is left"], 100, True, ["etcd"]),
        (["cp1", "cp2", "cp3"], [], ["cp1, cp2, cp3: 3 of 3 control_plane, none is left", "cp1, cp3: 2 of 2 etcd, none is left"],
         100, True, ["control_plane", "etcd"]),
        (["cp1", "pve2"], [], ["cp1, cp2: 2 of 3 control_plane: 1 left, no majority, which is 2",
                               "cp1: 1 of 2 etcd: 1 left, no majority, which is 2"], 67, True, []),
    ],
)  # fmt: skip
def test_shares_of_groups_that_vote(
    *, names: list[str], away: list[str], lines: list[str], share: int, loses: bool, last: list[str]
) -> None:
    by_items = blast(effect(*(Item("delete", name) for name in names)), frozenset(away))
    by_targets = blast(effect(targets=tuple(Target("host", name) for name in names)), frozenset(away))
    for found in (by_items, by_targets):
        assert list(found.lines) == lines
        assert (found.quorum_share, found.loses_quorum, sorted(found.last_of)) == (share, loses, last)


def test_the_only_member_is_said_to_be_the_only_one() -> None:
    found = blast_of(effect(Item("delete", "cp1")), (Machine("cp1", ("etcd",)),), QUORUMS, frozenset(), Timing())
    assert found.lines == ("cp1: 1 of 1 etcd, the only one",)
    assert (found.loses_quorum, found.last_of) == (True, frozenset({"etcd"}))


@pytest.mark.parametrize("action", ["create", "import", "move", "read", "output"])
def test_what_no_member_notices_takes_no_vote(action: str) -> None:
    assert blast(effect(Item(action, "cp1"), targets=(Target("node", "pve1"),))).lines == ()


@pytest.mark.parametrize("action", ["update", "replace", "delete", "forget"])
def test_what_a_member_notices_takes_its_vote(action: str) -> None:
    assert blast(effect(Item(action, "cp2"))).lines == ("cp2: 1 of 3 control_plane: 2 left, a majority",)


def test_a_node_counts_where_the_call_is_about_it_and_not_where_it_only_holds_what_is_planned() -> None:
    node = (Target("node", "pve1"),)
    assert blast(effect(targets=node)).quorum_share == 100
    assert blast(effect(Item("create", "cp9", where="pve1"), targets=node)).quorum_share == 0
    assert blast(effect(targets=(Target("vm", "cp2"),))).quorum_share == 34
    assert blast(effect(targets=(Target("pool", "cp2"),))).quorum_share == 0


@pytest.mark.parametrize("cls", [CallClass.READ, CallClass.SENSITIVE_READ])
def test_reads_touch_nothing_whatever_the_inventory(cls: CallClass) -> None:
    what = effect(Item("read", "cp1"), cls=cls, targets=(Target("host", "cp1"),))
    for machines in (THREE, None):
        assert blast(what, machines=machines) == Blast(timing=CLOSED)


def test_an_inventory_that_cannot_be_read_is_the_worst_case() -> None:
    found = blast(effect(Item("update", "x"), cls=CallClass.CHANGE), machines=None)
    assert (found.lines, found.quorum_share, found.loses_quorum) == ((UNREADABLE,), 100, True)
    nothing_votes = blast_of(effect(Item("update", "x")), None, (), frozenset(), Timing())
    assert (nothing_votes.lines, nothing_votes.loses_quorum) == ((), False)


@pytest.mark.parametrize(
    ("what", "count"),
    [
        (effect(), 0),
        (effect(Item("create", "a"), Item("create", "b"), Item("read", "c"), Item("output", "d")), 2),
        (effect(Item("create", "a", where="pve1"), Item("create", "a", where="pve2")), 2),
        (effect(Item("create", "a"), counts=(4, 2, 1)), 7),
        (effect(Item("update", "task"), targets=(Target("host", "a"), Target("host", "b"), Target("host", "a"))), 2),
    ],
)
def test_resources_are_never_counted_low(what: Effect, count: int) -> None:
    assert blast(what).resources == count


def test_a_share_is_rounded_up() -> None:
    assert [Share("g", 3, ("a",) * n).percent for n in range(4)] == [0, 34, 67, 100]
    assert [Share("g", n, ("a",)).majority for n in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]


def test_the_timing_is_carried_along() -> None:
    assert blast(effect()).timing == CLOSED
    assert replace(Blast(), timing=CLOSED).timing.window == "closed"
