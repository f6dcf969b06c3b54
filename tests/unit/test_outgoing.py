"""The ways to the model and to Slack: texts lose their secrets, names for programs stay (rule 22)."""

from dataclasses import fields, replace
from pathlib import Path

from bot.cards import report
from bot.domain.ids import ArtifactId, RequestId
from bot.domain.model import Answered, Heard, ModelRequest, ProposedCall, Returned
from bot.domain.posts import ApprovalCard, CriterionLine, File, MissionCard, Private, Speech
from bot.outgoing import NO_TEXT, DiscreetModel, discreet_body
from bot.policy.redaction import SecretRedactor
from bot.slack.render import render
from tests.core_fakes import ScriptedModel, calls, says, to
from tests.fakes import ANA, BO, NOW, mission
from tests.gate_house import SECRET, House

REDACTOR = SecretRedactor(pve_token=SECRET)
SHOWN = "‹secret:pve_token›"


async def test_a_card_s_words_are_cut_and_its_names_are_not(tmp_path: Path) -> None:
    card = House(tmp_path).gate.card(await House(tmp_path).held())
    hexes = "ab" * 32
    card = replace(card, words=f"with {SECRET}", items=(f"+ {SECRET}",), digest=hexes, request=RequestId(SECRET), file=ArtifactId(SECRET))  # fmt: skip
    clean = discreet_body(REDACTOR)(card)
    assert isinstance(clean, ApprovalCard)
    assert (clean.words, clean.items) == (f"with {SHOWN}", (f"+ {SHOWN}",))
    kept = [one.name for one in fields(card) if one.name not in {"words", "items"}]
    assert [getattr(clean, name) for name in kept] == [getattr(card, name) for name in kept]


def test_texts_within_texts_are_cut_and_what_has_none_is_the_same_value() -> None:
    lines = (CriterionLine(1, f"uses {SECRET}", "“x”", "open"),)
    card = MissionCard(
        "7", "Mission 7", ANA, "lab", "Parked", lines, (SECRET,), 0.1, 5.0, ended=False, buttons=("stop",)
    )
    clean = discreet_body(REDACTOR)(card)
    assert isinstance(clean, MissionCard)
    assert (clean.criteria[0].text, clean.uncovered, clean.requester) == (f"uses {SHOWN}", (SHOWN,), ANA)
    for body in (Speech("hello"), Private(BO, "hello", (("a", "b"),)), File(ArtifactId("a"), "plan.txt", "Plan")):
        assert discreet_body(REDACTOR)(body) is body


def test_what_is_no_text_is_a_field_of_some_body() -> None:
    """A name that no body has any more would let a new field of that name through."""
    bodies = (ApprovalCard, MissionCard, Private, Speech, File)
    known = {one.name for body in bodies for one in fields(body)}
    assert {"request", "digest", "file", "requesters", "who_may", "requester", "to", "artifact"} <= known & NO_TEXT


async def test_the_model_is_told_no_secret_and_its_words_are_cut_before_they_are_kept() -> None:
    content = {"path": "x", "content": f'key = "{SECRET}"'}
    model = ScriptedModel(
        calls(to("workspace_write", content=SECRET), text=f"I saw {SECRET}", thought=SECRET), says("x")
    )
    asked = ModelRequest("openai:test", "system", (
        Heard(f"take {SECRET}"), Answered(SECRET, (ProposedCall("1", "workspace_write", content),)), Returned("1", SECRET),
    ), ())  # fmt: skip
    reply = await DiscreetModel(model, REDACTOR).ask(asked)
    assert SECRET not in str(model.asked)
    assert str(model.asked).count(SHOWN) == 4
    assert (reply.speech, reply.thought) == (f"I saw {SHOWN}", SHOWN)
    assert reply.calls[0].arguments == {"content": SECRET}  # the gate's to judge


def test_a_report_shows_the_audit_head_whole() -> None:
    head = f"214:{'0123456789abcdef' * 4}:{'A' * 86}"
    post = report(mission(ended="done"), NOW, code="branch missions/7", audit_head=head)
    laid = render(discreet_body(REDACTOR)(post.body))  # pyright: ignore[reportArgumentType] # a report is rendered
    assert f"audit head: {head}" in laid.messages[0].text
    assert "audit head" not in render(report(mission(ended="done"), NOW, code="x").body).messages[0].text  # pyright: ignore[reportArgumentType]
