"""posts.Body → Slack messages. What stands in THREAD.md's layout comes from the body's fields; everything is literal."""

import json
from collections.abc import Sequence

from bot.domain.posts import (
    ApprovalCard,
    CriterionLine,
    File,
    GrantLine,
    Home,
    MissionCard,
    Modal,
    Notice,
    Private,
    Progress,
    QuestionCard,
    Report,
    Speech,
)
from bot.slack import markup
from bot.slack.layout import Button, Buttons, Laid, Lines, Message, Part, Table, lay, lay_one
from bot.slack.render_approval import approval_parts, waiting_parts
from bot.slack.spans import Block, Line, Moment, Person, Text, bold, cut, line, people, visible

MARKS = {"open": "○", "passed": "✓", "failed": "✗", "unverifiable": "?", "waived": "–"}
LONGEST_PARSED = 60_000  # longer speech goes out as a file with this much looked at
ONE_LINE = frozenset({"approve_typed", "narrow"})
MOST_GRANTS = 8  # lines and buttons; more live grants than that are ended by STOP, or by their time
MOST_IN_VIEW = 30  # pieces each of text and verbatim; Slack takes 100 blocks and 250 kB of a view
IN_VIEW_BLOCK = 2_900
Rendered = MissionCard | Speech | Progress | QuestionCard | ApprovalCard | Notice | Report | Private


def render(body: Rendered) -> Laid:
    """The messages of a body. Bodies that are edited in place are always one message."""
    match body:
        case Speech():
            return _speech(body)
        case Notice():
            return lay(_notice(body))
        case Report():
            return lay(_report(body))
        case Private():
            return lay(_private(body), with_file=False)
        case Progress():
            return _one([Lines((line(cut(" · ".join(body.parts), 1_000)),))])
        case MissionCard():
            return _one(_mission(body))
        case QuestionCard():
            return _one(_question(body))
        case ApprovalCard():
            return _one(approval_parts(body))


def render_modal(modal: Modal, channel: str, thread_ts: str) -> Block:
    """A view for views.open. It remembers its subject and place; people cannot write there."""
    blocks: list[Block] = [
        {"type": "section", "block_id": f"text{number}", "text": _plain_text(chunk)}
        for number, chunk in enumerate(_some(modal.text))
    ]
    blocks += [_code(chunk, f"code{number}") for number, chunk in enumerate(_some(modal.verbatim)) if modal.verbatim]
    view: Block = {
        "type": "modal",
        "callback_id": modal.action,
        "title": _plain_text(cut(modal.title, 24)),
        "close": _plain_text("Close" if modal.action == "details" else "Cancel"),
        "private_metadata": json.dumps({"subject": modal.subject, "channel": channel, "thread_ts": thread_ts}),
    }
    if modal.action != "details":
        view["submit"] = _plain_text(cut(modal.submit or "Send", 24))
        blocks += [_input(modal)] if modal.label or not modal.code else []
        blocks += [_code_input()] if modal.code else []
    return view | {"blocks": blocks or [{"type": "section", "text": _plain_text("Nothing more.")}]}


def render_home(home: Home) -> Block:
    """A view for views.publish: what waits, with the card's own buttons, then everything else as lines."""
    parts: list[Part] = [Lines(((bold("What waits for you"),),))]
    parts += [Lines((line(bold(cut(home.note, 1_000))),))] if home.note else []
    parts += [Lines(_texts(cut(home.text, 2_000)))] if home.text else []
    for card in home.cards:
        parts += waiting_parts(card)
    parts += [Lines(tuple(line(cut(text, 300)) for text in home.lines[:30]))] if home.lines else []
    return {"type": "home", "blocks": list(lay_one(parts).blocks)}


def render_file_note(body: File) -> Message:
    """Stands in for a file that Slack would not take."""
    return lay_one([Lines((line(bold(cut(body.title or body.name, 200)), " could not be uploaded as a file."),))])


def _one(parts: Sequence[Part]) -> Laid:
    return Laid((lay_one(parts),))


def _some(text: str) -> list[str]:
    """As much as a view takes, in pieces for its blocks."""
    chunks = _chunks(visible(text), IN_VIEW_BLOCK)
    if len(chunks) <= MOST_IN_VIEW:
        return chunks
    cut_after = f"… (cut after {MOST_IN_VIEW * IN_VIEW_BLOCK // 1000} kB; the file above the card has the whole)"
    return [*chunks[:MOST_IN_VIEW], cut_after]


def _code(text: str, block_id: str) -> Block:
    inside: Block = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text or " "}]}
    return {"type": "rich_text", "block_id": block_id, "elements": [inside]}


def _plain_text(text: str) -> Block:
    return {"type": "plain_text", "text": visible(text) or " ", "emoji": False}


def _input(modal: Modal) -> Block:
    field: Block = {"type": "plain_text_input", "action_id": "value", "multiline": modal.action not in ONE_LINE}
    return {
        "type": "input",
        "block_id": "input",
        "optional": modal.optional,
        "label": _plain_text(cut(modal.label or "Your words", 2_000)),
        "element": field | {"max_length": 2_000, "focus_on_load": True},
    }


def _code_input() -> Block:
    field: Block = {"type": "plain_text_input", "action_id": "value", "multiline": False, "max_length": 10}
    return {"type": "input", "block_id": "code", "label": _plain_text("Code of your authenticator"), "element": field}


def _chunks(text: str, most: int) -> list[str]:
    """Pieces of at most `most` characters, cut at a line's end where there is one."""
    pieces: list[str] = []
    while len(text) > most:
        end = text.rfind("\n", most // 2, most) + 1 or most
        pieces.append(text[:end].removesuffix("\n"))
        text = text[end:]
    return [*pieces, text] if text else pieces


def _speech(body: Speech) -> Laid:
    text = body.text if len(body.text) <= LONGEST_PARSED else body.text[:LONGEST_PARSED]
    parts = markup.parts(text)
    if body.to:
        parts.append(Lines((line(bold(f"→ {body.to}"), f": {body.task}" if body.task else ""),)))
    return lay(parts or [Lines((line(" "),))], whole=visible(body.text))


def _notice(body: Notice) -> list[Part]:
    first = line(bold(body.text) if body.detail else body.text, *(people(body.mention) if body.mention else ()))
    parts: list[Part] = [Lines((first, *_texts(body.detail)))]
    if body.button:
        parts.append(Buttons((Button("Extend", body.button, body.mission, "primary"),)))
    return parts


def _texts(text: str) -> tuple[Line, ...]:
    return tuple(markup.spans(row) for row in text.split("\n")) if text else ()


def _private(body: Private) -> list[Part]:
    parts: list[Part] = []
    lines = ((bold(body.title),),) if body.title else ()
    lines += _texts(body.text)
    if lines:
        parts.append(Lines(lines))
    for card in body.cards:
        parts += waiting_parts(card)
    if body.rows:
        parts.append(Table(body.rows))
    if body.refresh:
        parts.append(Buttons((Button("Refresh", "refresh", body.refresh),)))
    return parts or [Lines((line("Nothing to show."),))]


def _mission(body: MissionCard) -> list[Part]:
    met = sum(one.mark in ("passed", "waived") for one in body.criteria)
    head = line(bold(body.title), " · asked by ", Person(body.requester), f" · {body.environment}")
    lines = [head]
    if body.criteria:
        lines.append(line(f"Criteria {met} of {len(body.criteria)}"))
        lines += [_criterion(one) for one in body.criteria[:25]]
    if len(body.criteria) > 25:
        lines.append(line(f"… and {len(body.criteria) - 25} more in Details"))
    if body.uncovered:
        words = ", ".join(f"“{cut(one, 120)}”" for one in body.uncovered[:8])
        lines.append(line("No criterion covers: ", Text(words, italic=True)))
    lines.append(line(f"{cut(body.state, 300)} · spent ${body.spent_usd:.2f} of ${body.limit_usd:.2f}{_pace(body)}"))
    if body.note:
        lines.append(line(cut(body.note, 500)))
    if body.frozen:
        lines.append(line(bold("Frozen"), f" · {cut(body.frozen, 400)}"))
    lines += [_grant(one) for one in body.grants[:MOST_GRANTS]]
    parts: list[Part] = [Lines(tuple(lines))]
    row = tuple(_mission_button(name, body.mission) for name in body.buttons)
    row += tuple(Button(f"Revoke {one.grant[:4]}", "revoke", one.grant, "danger") for one in body.grants[:MOST_GRANTS])
    return [*parts, Buttons(row)] if row else parts


def _pace(body: MissionCard) -> str:
    """What it will come to, where that is known and a cent more than now."""
    if body.forecast_usd is None or body.forecast_usd < body.spent_usd + 0.01:
        return ""
    return f", about ${body.forecast_usd:.2f} at this pace"


def _grant(one: GrantLine) -> Line:
    return line(
        f"Grant {one.grant[:4]} · {cut(one.title, 200)} runs again until ", Moment(one.until), " · by ", *people(one.by)
    )


def _mission_button(name: str, mission: str) -> Button:
    match name:
        case "stop":
            return Button("Stop", "stop", mission, "danger")
        case "edit_criteria":
            return Button("Edit criteria", "edit_criteria", mission)
        case "extend":
            return Button("Extend", "extend", mission, "primary")
        case _:
            return Button("Details", "mission_details", mission)


def _criterion(one: CriterionLine) -> Line:
    source = Text(f" — {cut(one.source, 120)}", italic=True) if one.source else ""
    return line(f"{MARKS[one.mark]} {one.number} {cut(one.text, 200)}", source)


def _question(body: QuestionCard) -> list[Part]:
    verb = "asked" if body.answer else "asks"
    lines = [line(bold(f"{body.asker} {verb} "), Person(body.asked), f": {cut(body.text, 1_500)}")]
    default = body.options[body.default] if 0 <= body.default < len(body.options) else ""
    if body.answer:
        who = (" · ", Person(body.answered_by)) if body.answered_by else (" · the default, nobody answered in time",)
        return [Lines((*lines, line(bold(f"“{cut(body.answer, 500)}”"), *who)))]
    if any(len(option) > 60 for option in body.options):
        lines += [line(f"{number}. {cut(option, 300)}") for number, option in enumerate(body.options, 1)]
    lines.append(line("Default at ", Moment(body.deadline), ": ", bold(cut(default, 300))))
    row = [_option(body, number) for number in range(min(3, len(body.options)))]
    return [Lines(tuple(lines)), Buttons((*row, Button("Other words…", "answer_text", body.question)))]


def _option(body: QuestionCard, number: int) -> Button:
    mark = " (default)" if number == body.default else ""
    text = body.options[number]
    short = cut(text, 60) if len(text) <= 60 else f"{number + 1}. {cut(text, 50)}"
    return Button(f"{short}{mark}", f"answer:{number}", body.question, "primary" if mark else "")


def _report(body: Report) -> list[Part]:
    facts: list[str | Person | Text] = [bold(f"Mission {body.mission} is {body.outcome}"), f" · {_span(body.seconds)}"]
    if body.waiting_seconds >= 60:
        facts.append(f", of which {_span(body.waiting_seconds)} waiting for people")
    facts.append(f" · ${body.cost_usd:.2f}, {_tokens(body.tokens)} tokens")
    total = sum(count for _, count in body.approvals)
    if total:
        facts.append(f" · {total} approval{'s' * (total != 1)} (")
        for number, (who, count) in enumerate(body.approvals):
            facts += [", " * bool(number) + f"{count} ", Person(who)]
        facts.append(")")
    lines = [line(*facts), line(f"Criteria {_met(body)} of {len(body.criteria)}")]
    lines += [_criterion(one) for one in body.criteria]
    lines += _listed("What exists now", body.exists)
    lines += _listed("Evidence", body.evidence)
    lines += _listed("Not covered", body.not_covered)
    lines += _listed("Approved in another's place", body.marks)
    if body.code:
        lines.append(line(f"code: {body.code}"))
    if body.audit_head:
        lines.append(line(f"audit head: {body.audit_head}"))
    lines.append(line("Say “@Architect status” any time."))
    return [Lines(tuple(lines))]


def _met(body: Report) -> int:
    return sum(one.mark in ("passed", "waived") for one in body.criteria)


def _listed(title: str, items: Sequence[str]) -> list[Line]:
    if not items:
        return []
    if len(items) == 1:
        return [line(bold(f"{title}: "), cut(items[0], 1_000))]
    return [(bold(title),), *(line(f"• {cut(item, 500)}") for item in items)]


def _span(seconds: int) -> str:
    """As people say it: 41 s, 29 min, 3 h 5 min."""
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _tokens(count: int) -> str:
    return (
        f"{count / 1_000_000:.1f}M" if count >= 1_000_000 else f"{count / 1000:.0f}k" if count >= 1000 else str(count)
    )
