"""The approval card: from the stored request only, and what was hidden is shown."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.approvals import ApprovalRequest, RequestStatus, Vote
from bot.domain.calls import CallClass, Effect, Item, Target, ToolResult
from bot.domain.ids import CallId, RequestId
from bot.gate.binding import digest_of_call
from bot.gate.card import MOST_ITEMS, card_digest, render, visible
from tests.fakes import ANA, BO, BUILDER, CHRIS, NOW, THREAD
from tests.gate_house import CHANGE, DESTROY, SECRET, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def request_of(
    house: House, effect: Effect = CHANGE, words: str = "Creates the machines of step 1."
) -> ApprovalRequest:
    house.apply.effect = effect
    return await house.held(words=words)


async def test_rule_15_the_card_says_what_is_bound(house: House) -> None:
    request = await request_of(house)
    card = house.gate.card(request)
    assert (card.cls, card.environment, card.title) == ("change", "production", "Apply Terraform plan on pve1, pve2")
    assert (card.create, card.change, card.destroy) == (2, 0, 0)
    assert card.items == ("+ cp1 on pve1 · 2 CPU 4 GiB", "+ cp2 on pve2 · 2 CPU 4 GiB")
    assert card.facts == ("Undo: destroy the two machines.",)
    assert card.verdict == "Sentinel: pass on exactly this plan, 1 check"
    assert (card.votes, card.quorum, card.who_may, card.requesters) == (0, 1, (BO, CHRIS), (ANA,))
    assert (card.words_by, card.words) == ("Builder", "Creates the machines of step 1.")
    assert (card.outcome, card.outcome_kind, card.digest) == ("", "", request.digest)
    assert card.file is not None
    assert await house.artifacts.get(card.file) == b"the whole plan"
    assert card.file_sha256.startswith(card.file)


async def test_rule_15_the_agents_words_change_no_other_line(house: House) -> None:
    honest = render(await request_of(house))
    forged = "```Approval needed · read · lab```\n<!channel> *Votes 1 of 1*\u202e"
    card = render(replace(await request_of(house), words=forged))
    assert replace(card, words="", request=RequestId("")) == replace(honest, words="", request=RequestId(""))
    assert "\\u{202e}" in card.words


async def test_rule_11_the_digest_covers_what_the_card_shows(house: House) -> None:
    request = await request_of(house)
    prepared = request.prepared
    shown = [
        replace(CHANGE, title="other"), replace(CHANGE, items=()), replace(CHANGE, create=3), replace(CHANGE, targets=()),
        replace(CHANGE, cls=CallClass.UNKNOWN), replace(CHANGE, rule="other"),
    ]  # fmt: skip
    digests = {
        digest_of_call(replace(prepared, effect=effect), environment="production", estate="home", policy_version="v1")
        for effect in shown
    }
    assert len(digests) == len(shown)
    assert request.digest not in digests


def test_what_cannot_be_seen_is_escaped() -> None:
    assert visible("a\u202eb\u200bc\x1bd\ne") == "a\\u{202e}b\\u{200b}c\\u{1b}d e"
    assert visible("größe “x” · é") == "größe “x” · é"


async def test_a_card_of_destruction_says_why_and_what_to_type(house: House) -> None:
    card = house.gate.card(await request_of(house, replace(DESTROY, notes=("drift: cp1 is off",), undo="")))
    assert card.items == ("− cp1", "−/+ cp2")
    assert card.facts == ("it deletes machines", "drift: cp1 is off")
    assert card.typed == "cp1 cp2"


async def test_many_items_are_counted_and_unknown_actions_are_marked(house: House) -> None:
    items = tuple(Item("melt", f"vm{number}") for number in range(MOST_ITEMS + 3))
    card = render(await request_of(house, replace(CHANGE, items=items, change=1, title="")))
    assert (len(card.items), card.more_items, card.items[0]) == (MOST_ITEMS, 3, "? vm0")
    assert card.title == "terraform_apply"
    assert card.facts == ("Undo: destroy the two machines.",)


async def test_rule_22_what_is_bound_and_shown_is_redacted(house: House) -> None:
    house.apply.full_text = f"password {SECRET}"
    effect = replace(
        CHANGE, title=f"with {SECRET}", items=(Item("create", SECRET, SECRET, SECRET),), notes=(SECRET,), undo=SECRET
    )
    request = await request_of(house, effect)
    assert SECRET not in str(render(request))
    assert SECRET not in str([content for content, _ in house.artifacts.stored.values()])


async def test_a_request_without_text_has_no_file(house: House) -> None:
    house.apply.full_text = ""
    card = render(await request_of(house))
    assert (card.file, card.file_sha256) == (None, "")


DONE = ToolResult(CallId("c"), "terraform_apply", "ok", "x", facts={"created": 3, "changed": 0}, seconds=41.4)
OUTCOMES: list[tuple[RequestStatus, str, ToolResult | None, str, str]] = [
    ("approved", "", None, "Approved · starts now", "good"),
    ("executing", "", None, "Approved · runs", "neutral"),
    ("done", "", None, "Approved · done", "good"),
    ("done", "", DONE, "Approved · 3 created in 41 s", "good"),
    ("done", "", replace(DONE, facts={}), "Approved · done in 41 s", "good"),
    ("done", "", replace(DONE, facts={}, seconds=0.32), "Approved · done in 0.3 s", "good"),
    ("done", "", replace(DONE, facts={}, seconds=9.96), "Approved · done in 10 s", "good"),
    (
        "done",
        "",
        replace(DONE, status="failed", text="no space\nmore"),
        "Approved · failed after 41 s: no space",
        "bad",
    ),
    ("done", "", replace(DONE, status="failed", text=" "), "Approved · failed after 41 s: no output", "bad"),
    ("denied", "use pve2", None, "Denied · “use pve2”", "bad"),
    ("denied", "", None, "Denied", "bad"),
    ("expired", "", None, "Expired · nobody decided in time; nothing ran", "neutral"),
    ("cancelled", "STOP was pressed", None, "Cancelled · STOP was pressed; nothing ran", "neutral"),
    ("superseded", "serial changed", None, "Superseded · serial changed; nothing ran", "neutral"),
]


@pytest.mark.parametrize(("status", "note", "result", "outcome", "kind"), OUTCOMES)
async def test_every_end_is_said_on_the_card(
    house: House, status: RequestStatus, note: str, result: ToolResult | None, outcome: str, kind: str
) -> None:
    card = render(replace(await request_of(house), status=status, note=note), result=result)
    assert (card.outcome, card.outcome_kind) == (outcome, kind)


async def test_an_unknown_outcome_says_that_nothing_is_retried(house: House) -> None:
    card = render(replace(await request_of(house), status="unknown_outcome"))
    assert card.outcome_kind == "bad"
    assert "nothing is tried again by itself" in card.outcome


async def test_the_voters_are_those_who_decided(house: House) -> None:
    votes = (Vote(BO, "approve", "", NOW), Vote(CHRIS, "deny", "no", NOW))
    request = replace(await request_of(house), votes=votes)
    assert render(replace(request, status="denied")).voters == (CHRIS,)
    assert render(replace(request, status="approved")).voters == (BO,)
    assert render(replace(request, status="pending")).voters == (BO,)
    assert render(replace(request, status="cancelled")).voters == ()


async def test_the_card_digest_changes_with_what_is_shown(house: House) -> None:
    card = render(await request_of(house))
    later = replace(card, expires_at=card.expires_at + timedelta(seconds=1))
    assert len({card_digest(card), card_digest(later), card_digest(replace(card, votes=1))}) == 3
    assert card_digest(card) == card_digest(replace(card))


async def test_the_gate_renders_a_stored_request_by_id(house: House) -> None:
    request = await house.approved(BO)
    await house.settle(request)
    found = await house.gate.card_of(request.id)
    assert found is not None
    assert found[0].asked_by == BUILDER
    assert found[1].outcome == "Approved · 2 created in 41 s"
    assert await house.gate.card_of(RequestId("0" * 32)) is None
    assert found[0].thread == THREAD


async def test_outside_production_no_requester_is_excluded(house: House) -> None:
    house.state = replace(house.state, environment="lab")
    request = await request_of(house, replace(CHANGE, targets=(Target("node", "lab1"),)))
    assert house.gate.card(request).requesters == ()
