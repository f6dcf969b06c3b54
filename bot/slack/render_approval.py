"""The approval card, line by line as in THREAD.md, from the stored request only (rule 15)."""

from bot.domain.posts import ApprovalCard
from bot.slack.layout import Button, Buttons, Lines, Part, Quote
from bot.slack.spans import Line, Moment, Person, Text, bold, cut, line, people

MOST_ITEMS = 20
MOST_FACTS = 9


def approval_parts(card: ApprovalCard) -> list[Part]:
    """Open: everything and buttons. Ended: the outcome, what it was about, and no buttons."""
    return _ended(card) if card.outcome else _open(card)


def _open(card: ApprovalCard) -> list[Part]:
    about = f" · {card.cls} · {card.environment} · request {card.request[:4]} · until "
    lines = [
        line(bold("Approval needed"), about, Moment(card.expires_at)),
        (bold(cut(card.title, 300)),),
        *_counts(card),
        *_items(card),
        *_facts(card),
    ]
    if card.why:
        lines.append(line(f"Why you are asked: {cut(card.why, 500)}"))
    lines += [_proof(card), _voting(card)]
    if card.grant_s:
        span = _span(card.grant_s)
        lines.append(
            line(
                f"“Approve for {span}” lets exactly this call run again for {span} without asking; Revoke and STOP end that"
            )
        )
    parts: list[Part] = [Lines(tuple(lines))]
    if card.words:
        by = f"{card.words_by}'s words, not verified: " if card.words_by else "the agent's words, not verified: "
        parts.append(Quote((line(Text(by, italic=True), Text(cut(f"“{card.words}”", 700), italic=True)),)))
    return [*parts, _buttons(card)]


def waiting_parts(card: ApprovalCard) -> list[Part]:
    """The short form, in a list of what waits for somebody: the same buttons; Details has the rest."""
    about = f" · {card.cls} · {card.environment} · request {card.request[:4]} · until "
    lines = [
        line(bold(cut(card.title, 300)), about, Moment(card.expires_at)),
        *_counts(card),
        line(f"Votes {card.votes} of {card.quorum}"),
    ]
    return [Lines(tuple(lines)), _buttons(card)]


def _buttons(card: ApprovalCard) -> Buttons:
    approve = ("Approve…", "approve_typed") if card.typed or card.code else ("Approve", "approve")
    row = [Button(*approve, card.request, "primary")]
    row += [Button(f"Approve for {_span(card.grant_s)}", "approve_grant", card.request)] if card.grant_s else []
    row += [Button("Narrow…", "narrow", card.request)] if card.narrow else []
    row += [Button("Deny…", "deny", card.request, "danger"), Button("Details", "request_details", card.request)]
    return Buttons(tuple(row))


def _span(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds // 60} min"


def _ended(card: ApprovalCard) -> list[Part]:
    head, _, rest = cut(card.outcome, 800).partition(" · ")
    about = f"{card.cls} · {card.environment} · request {card.request[:4]}"
    mark = {"good": "✓ ", "bad": "✗ "}.get(card.outcome_kind, "")
    lines = [
        (*line(mark, bold(head)), *_decided(card, head), *line(f" · {rest}" if rest else "")),
        line(cut(card.title, 300)),
        *_counts(card),
        line(f"{about} · digest {card.digest[:8]}"),
    ]
    return [Lines(tuple(lines))]


def _decided(card: ApprovalCard, head: str) -> Line:
    """Who decided, as mentions: the outcome's own text says what became of it."""
    if not card.voters:
        return ()
    decided = head.startswith(("Approved", "Denied", "Narrowed"))
    return (Text(" by " if decided else " · approved by "), *people(card.voters))


def _facts(card: ApprovalCard) -> list[Line]:
    """On one line where they are short. What has no room is counted; how to undo it stays."""
    undo = card.facts[-1:] if card.facts and card.facts[-1].startswith("Undo: ") else ()
    facts = [cut(fact, 400) for fact in card.facts[: len(card.facts) - len(undo)]]
    if len(facts) > MOST_FACTS:
        facts = [*facts[:MOST_FACTS], f"… and {len(facts) - MOST_FACTS} more in Details"]
    facts += [cut(fact, 400) for fact in undo]
    joined = "".join(fact + (" " if fact.endswith(".") else " · ") for fact in facts).removesuffix(" · ").rstrip()
    return [line(joined)] if joined and len(joined) <= 200 else [line(fact) for fact in facts]


def _counts(card: ApprovalCard) -> list[Line]:
    if not (card.create or card.change or card.destroy):
        return []
    text = f"+ {card.create} create   ~ {card.change} change   − {card.destroy} destroy"
    return [(Text(text, code=True),)]


def _items(card: ApprovalCard) -> list[Line]:
    lines = [line(cut(item, 200)) for item in card.items[:MOST_ITEMS]]
    hidden = card.more_items + max(0, len(card.items) - MOST_ITEMS)
    return [*lines, line(f"… and {hidden} more in Details")] if hidden else lines


def _proof(card: ApprovalCard) -> Line:
    proofs = [cut(card.verdict, 300)] if card.verdict else []
    if card.file_sha256:
        proofs.append(f"{cut(card.file_name, 80)}, sha256 {card.file_sha256[:12]}…")
    proofs.append(f"digest {card.digest[:8]}")
    return line(" · ".join(proofs))


def _voting(card: ApprovalCard) -> Line:
    votes = line(f"Votes {card.votes} of {card.quorum}")
    if card.voters:
        votes += (Text(" by "), *people(card.voters))
    left = [one for one in card.who_may if one not in card.voters]
    may = people(left) or line("nobody: policies/people.yaml names no other approver who did not ask")
    votes += (Text(" · who may: "), *may)
    barred = [one for one in card.requesters if one not in card.who_may]
    for one in barred:
        votes += (Text(", not "), Person(one))
    votes += line(" (asked for it, or spoke to the crew since the last change)") if barred else ()
    if card.typed:
        votes += (Text(" · type "), bold(cut(card.typed, 300)), Text(" to approve"))
    if card.code:
        votes += (Text(" · approving takes a one-time code"),)
    return votes
