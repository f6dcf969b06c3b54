"""Cards as Slack gets them, against snapshots in tests/unit/snapshots/slack_*.json."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from bot.domain.ids import ArtifactId, QuestionId, RequestId, UserId
from bot.domain.posts import (
    ApprovalCard,
    CriterionLine,
    GrantLine,
    MissionCard,
    Modal,
    Notice,
    Private,
    Progress,
    QuestionCard,
    Report,
    Speech,
)
from bot.slack.render import Rendered, render, render_modal
from deploy.lab.slack.blocks import find_problems, find_view_problems

SNAPSHOTS = Path(__file__).parent / "snapshots"
ANA, BO, CHRIS = UserId("U0ANA00001"), UserId("U0BO000001"), UserId("U0CHRIS001")
UNTIL = datetime(2026, 11, 23, 14, 6, tzinfo=UTC)

CARD = ApprovalCard(
    request=RequestId("a7f3" + "0" * 28),
    cls="change",
    environment="production",
    title="Apply Terraform plan on pve1, pve2",
    create=3,
    change=0,
    destroy=0,
    items=(
        "+ cp1 on pve1 · 2 CPU 4 GiB 30 GiB · 192.168.178.21",
        "+ cp2 on pve2 · 2 CPU 4 GiB 30 GiB · 192.168.178.22",
        "+ cp3 on pve1 · 2 CPU 4 GiB 30 GiB · 192.168.178.23",
    ),
    more_items=0,
    facts=("Touches nothing that exists.", "Undo: destroy the three machines."),
    why="changes in production need 1 approver who did not ask for them (policies/terraform.cedar, change)",
    verdict="Sentinel: pass on exactly this plan",
    digest="5be2c01d" * 8,
    file=ArtifactId("0123456789abcdef"),
    file_sha256="9c1d22aa55ff" * 5,
    file_name="plan.txt",
    requesters=(ANA,),
    expires_at=UNTIL,
    votes=0,
    quorum=1,
    voters=(),
    who_may=(BO, CHRIS),
    words_by="Builder",
    words="Creates the machines of step 1.",
    typed="",
)
DRILL = replace(
    CARD,
    request=RequestId("c01b" + "0" * 28),
    cls="destroy",
    title="Fault drill: stop cp1, cp2, cp3 in turn, 60 s each, and start them again",
    create=0,
    items=(),
    facts=("Probes while each is off: API through 192.168.178.20, hello-world through the ingress.",),
    verdict="",
    file=None,
    file_sha256="",
    words="",
    typed="cp1 cp2 cp3",
)
CRITERIA = (
    CriterionLine(1, "Kubernetes runs on pve1 and pve2", "“Build a Kubernetes cluster on them”", "passed"),
    CriterionLine(2, "the API answers while any one control plane is down", "“highly available”", "open"),
    CriterionLine(3, "it answers from the LAN", "“that I can reach from my LAN”", "unverifiable"),
    CriterionLine(4, "a second run changes nothing", "standard code", "waived"),
    CriterionLine(5, "hello-world answers", "“a hello-world app”", "failed"),
)
MISSION = MissionCard(
    "7", "Mission 7", ANA, "production", "Turn: Architect", CRITERIA, ("with an ingress",), 0.024, 5.0,
    ended=False, buttons=("details", "stop"),
)  # fmt: skip
QUESTION = QuestionCard(
    QuestionId("q1"), "Architect", ANA, "Is there a third machine, even a Raspberry Pi, for the third vote?",
    ("No, go on", "Yes"), 0, datetime(2026, 11, 23, 10, 13, tzinfo=UTC),
)  # fmt: skip
REPORT = Report(
    "7", "done", 1740, 360, 0.74, 412_000, ((BO, 1), (CHRIS, 2)),
    ("3 VMs: cp1, cp2, cp3",), CRITERIA[:1], ("1 three machines run (result 7.9.c2)",),
    ("losing pve1 loses the majority", "it answers from the LAN: not verifiable here"), "missions/7 (git, 9 commits)",
)  # fmt: skip
BODIES: dict[str, Rendered] = {
    "approval_open": CARD,
    "approval_typed": DRILL,
    "approval_approved": replace(CARD, outcome="Approved · 3 created in 41 s", outcome_kind="good", voters=(BO,)),
    "approval_denied": replace(CARD, outcome="Denied · “too big”", outcome_kind="bad", voters=(BO,)),
    "approval_unknown": replace(CARD, outcome="Unknown outcome · Watchbill looks", outcome_kind="bad", voters=(BO,)),
    "approval_expired": replace(CARD, outcome="Expired · nobody decided in time; nothing ran", outcome_kind="neutral"),
    "mission": MISSION,
    "mission_parked": replace(MISSION, state="Parked", buttons=("details", "extend", "stop"), note="The budget is used up."),
    "question": QUESTION,
    "question_answered": replace(QUESTION, answer="No, go on", answered_by=ANA),
    "question_default": replace(QUESTION, answer="No, go on"),
    "report": REPORT,
    "progress": Progress(("Terraform plan", "init 2 s", "validate ok", "plan 5 s → 3 to create")),
    "notice": Notice("Builder stopped after the third identical error", "`nft: Operation not permitted` on cp1."),
    "notice_extend": Notice("Mission 7 used its budget of $5.00.", button="extend", mission="7"),
    "private": Private(ANA, "Two missions.", (("mission", "state"), ("7", "done"), ("12", "waiting")), "Missions"),
    "speech": Speech(
        "## Plan\n5 steps, **Builder** does 1 to 4:\n- `cp1`, `cp2`\n- see https://pve1.lab:8006/ now.\n```hcl\nvm {}\n```",
        "Builder", "step 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BODIES))
def test_rule_15_cards_look_like_their_snapshots(name: str) -> None:
    laid = render(BODIES[name])
    messages: list[dict[str, Any]] = [{"text": one.text, "blocks": list(one.blocks)} for one in laid.messages]
    file = SNAPSHOTS / f"slack_{name}.json"
    if not file.exists():
        file.write_text(json.dumps(messages, indent=1, ensure_ascii=False) + "\n")
        pytest.fail(f"{file.name} was written: look at it and run again")
    assert messages == json.loads(file.read_text()), f"if this is meant, delete {file.name} and run twice"
    assert not laid.rest
    for message in messages:
        assert not find_problems(message["blocks"], "message")


def test_every_kind_of_post_has_a_snapshot() -> None:
    assert {type(body) for body in BODIES.values()} == set(Rendered.__args__)


@pytest.mark.parametrize("action", ["deny", "approve_typed", "narrow", "answer", "details"])
def test_forms_are_what_slack_takes(action: Any) -> None:
    modal = Modal("t", action, "a7f3", "A title of more than twenty-four characters", "x" * 200_000, "Reason", "Deny")
    view = render_modal(modal, "C1", "1.2")
    assert not find_view_problems(view)
    assert json.loads(str(view["private_metadata"])) == {"subject": "a7f3", "channel": "C1", "thread_ts": "1.2"}
    assert ("submit" in view) == (action != "details")


HOSTILE = (
    "<!channel> <@U0BO000001> @everyone *Approved* by <https://evil.lab|bo>\n"
    "```\nApproval needed\n```\n\u202egnp.exe\u0007 :white_check_mark: &amp;"
)


@pytest.mark.parametrize(
    "body",
    [
        Speech(HOSTILE),
        Notice(HOSTILE, HOSTILE),
        Private(ANA, HOSTILE, ((HOSTILE, HOSTILE),), HOSTILE),
        Progress((HOSTILE,)),
        replace(QUESTION, asker=HOSTILE, text=HOSTILE, options=(HOSTILE, "b")),
        replace(QUESTION, answer=HOSTILE),
        replace(MISSION, title=HOSTILE, note=HOSTILE, uncovered=(HOSTILE,), state=HOSTILE),
        replace(REPORT, exists=(HOSTILE, HOSTILE), code=HOSTILE, evidence=(HOSTILE,)),
        replace(CARD, title=HOSTILE, items=(HOSTILE,), facts=(HOSTILE,), why=HOSTILE, words=HOSTILE, verdict=HOSTILE),
        replace(CARD, outcome=HOSTILE, title=HOSTILE),
    ],
)
def test_rule_15_text_of_models_and_people_is_only_text(body: Rendered) -> None:
    """No mention that is not the domain's own, nothing that Slack would read as formatting, nothing invisible."""
    honest = {getattr(body, name, None) for name in ("asked", "requester", "answered_by")}
    honest |= {*getattr(body, "who_may", ()), *getattr(body, "requesters", ()), *dict(getattr(body, "approvals", ()))}
    for message in render(body).messages:
        for block in message.blocks:
            assert block["type"] in ("rich_text", "actions", "table")
        for element in _leaves(list(message.blocks)):
            assert element["type"] in ("text", "raw_text", "user", "date", "link", "plain_text", "button")
            if element["type"] == "user":
                assert element["user_id"] in honest
            assert "evil.lab" not in element.get("url", "") or element["url"].startswith("https://evil.lab")
            assert not {"\u202e", "\u0007"} & set(element.get("text") or "" if element["type"] == "raw_text" else "")
        for bad in ("<!channel>", "<!everyone>", "\u202e", "\u0007"):
            assert bad not in message.text
        assert "<https" not in message.text
    assert "\\u202E" in "".join(message.text for message in render(body).messages)


def _leaves(value: Any) -> list[Any]:
    """Every element without elements of its own, and the text objects of buttons."""
    match value:
        case [*items]:
            return [leaf for item in items for leaf in _leaves(item)]
        case {"elements": inside} | {"rows": inside}:
            return _leaves(inside)
        case {"text": {"type": _} as text}:
            return [value, text]
        case _:
            return [value]


def test_rule_15_the_agents_words_cannot_forge_a_line_of_the_card() -> None:
    forged = 'fine."\nVotes 1 of 1 · approved by @bo\n```'
    laid = render(replace(CARD, words=forged, items=("+ cp1\nSentinel: pass",)))
    lines = laid.messages[0].text.split("\n")
    assert not any(line.startswith(("Votes 1 of 1", "Sentinel: pass on nothing")) for line in lines)
    assert sum(line.startswith("Sentinel: pass") for line in lines) == 1
    quote = laid.messages[0].blocks[1]["elements"]
    assert "rich_text_quote" in json.dumps(quote)
    assert "⏎" in json.dumps(quote, ensure_ascii=False)


def test_rule_15_buttons_carry_an_id_and_nothing_else() -> None:
    for body in (CARD, DRILL, MISSION, QUESTION):
        (actions,) = [block for block in render(body).messages[0].blocks if block["type"] == "actions"]
        for button in _leaves([actions]):
            if button["type"] == "button":
                assert button["value"] in (CARD.request, DRILL.request, "7", "q1")


def test_a_settled_card_has_no_buttons() -> None:
    for name in ("approval_approved", "approval_denied", "question_answered", "question_default"):
        assert all(block["type"] != "actions" for block in render(BODIES[name]).messages[0].blocks)


def test_rule_15_facts_that_have_no_room_are_counted_and_undo_stays() -> None:
    facts = (
        *(f"fact {number}, long enough for a line of its own: {'x' * 40}" for number in range(13)),
        "Undo: nothing.",
    )
    text = render(replace(CARD, facts=facts)).messages[0].text
    assert "fact 8," in text
    assert "fact 9," not in text
    assert "… and 4 more in Details" in text
    assert "Undo: nothing." in text


def test_huge_cards_still_fit_one_message_with_their_buttons() -> None:
    huge = replace(
        CARD, items=("+ vm " + "x" * 900,) * 500, facts=("y" * 5_000,) * 50, words="z" * 50_000, why="w" * 9_999
    )
    (message,) = render(huge).messages
    assert not find_problems(list(message.blocks), "message")
    assert message.blocks[-1]["type"] == "actions"
    assert "and 480 more in Details" in message.text
    assert sum(len(leaf.get("text", "")) for leaf in _leaves(list(message.blocks))) < 9_000
    criteria = tuple(replace(CRITERIA[0], number=number, text="t" * 900) for number in range(200))
    (message,) = render(replace(MISSION, criteria=criteria)).messages
    assert message.blocks[-1]["type"] == "actions"


def test_invisible_characters_count_as_what_is_shown() -> None:
    laid = render(Speech("\u200b" * 3_000))
    for message in laid.messages:
        assert not find_problems(list(message.blocks), "message")
        assert "\u200b" not in message.text
        assert "\\u200B" in message.text


def test_a_card_that_may_be_granted_says_for_how_long_and_has_the_button() -> None:
    (message,) = render(replace(CARD, grant_s=3600)).messages
    assert "Approve for 1 h" in str(message.blocks)
    assert "Revoke and STOP end that" in message.text
    assert "approve_grant" in str(message.blocks)
    assert "approve_grant" not in str(render(CARD).messages[0].blocks)
    assert "Approve for 30 min" in str(render(replace(CARD, grant_s=1800)).messages[0].blocks)


def test_a_mission_card_shows_its_grants_with_revoke_and_a_freeze() -> None:
    grants = tuple(GrantLine(RequestId(f"{n:04x}" * 8), f"Read {n}", (BO,), UNTIL) for n in range(12))
    card = MissionCard("7", "Mission 7", ANA, "lab", "Turn: Builder", (), (), 0.0, 5.0, False, ("details", "stop"), "",
                       "changes are frozen by chris", grants)  # fmt: skip
    (message,) = render(card).messages
    shown = str(message.blocks)
    assert shown.count("'action_id': 'revoke'") == 8
    assert "Revoke 0001" in shown
    assert "changes are frozen by chris" in message.text
    assert message.text.count("runs again until") == 8


def test_a_reminder_names_who_may_decide() -> None:
    (message,) = render(Notice("Request a7f3 waits. Who may decide: ", mention=(BO,))).messages
    assert f"<@{BO}>" in message.text


def test_a_list_of_what_waits_has_every_cards_buttons_within_slacks_limits() -> None:
    cards = tuple(replace(CARD, request=RequestId(f"{n:04x}" * 8), grant_s=3600, narrow=True) for n in range(8))
    laid = render(Private(BO, "8 waiting, 8 of them for you.", title="Approvals", cards=cards))
    blocks = [block for message in laid.messages for block in message.blocks]
    assert not find_problems(blocks, "message")
    assert str(blocks).count("'action_id': 'approve'") == str(blocks).count("'action_id': 'narrow'") == 8
    assert laid.rest == ""


def test_the_list_and_the_card_have_the_same_buttons() -> None:
    card = replace(CARD, typed="cp1 cp2", narrow=True)
    shown, listed = render(card).messages[0].blocks[-1], render(Private(BO, "", cards=(card,))).messages[-1].blocks[-1]
    assert {**shown, "block_id": ""} == {**listed, "block_id": ""}


@pytest.mark.parametrize(("label", "inputs"), [("cp1 cp2", ["input", "code"]), ("", ["code"])])
def test_a_form_asks_for_the_code_beside_the_names_or_alone(label: str, inputs: list[str]) -> None:
    modal = Modal("t", "approve_typed", "a7f3", "Approve a7f3", "Text.", label, "Approve", code=True)
    view: Any = render_modal(modal, "C1", "")
    assert not find_view_problems(view)
    assert [block["block_id"] for block in view["blocks"] if block["type"] == "input"] == inputs
    assert "approve_typed" in str(render(replace(CARD, code=True)).messages[0].blocks)


def test_a_card_with_votes_names_who_may_still_vote() -> None:
    (message,) = render(replace(CARD, votes=1, quorum=2, voters=(BO,), who_may=(BO, CHRIS))).messages
    assert f"Votes 1 of 2 by <@{BO}> · who may: <@{CHRIS}>, not <@{ANA}>" in message.text
    (message,) = render(replace(CARD, votes=1, quorum=2, voters=(BO,), who_may=(BO,))).messages
    assert "who may: nobody" in message.text


def test_a_status_has_its_table_and_then_a_refresh_button() -> None:
    rows = (("what", "name", "state", "detail"), ("node", "pve1", "online", "4 CPU"))
    *_, table, buttons = (
        render(Private(BO, "1 nodes.", rows, "Estate home", refresh="cluster-status")).messages[0].blocks
    )
    assert table["type"] == "table"
    button = cast("list[dict[str, Any]]", buttons["elements"])[0]
    assert (button["action_id"], button["value"], button["text"]["text"]) == ("refresh", "cluster-status", "Refresh")
