"""The approval card, from the stored request and nothing else (rule 15). Pure."""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Literal, assert_never

from bot.domain.approvals import ApprovalRequest
from bot.domain.calls import CallClass, Item, ToolResult
from bot.domain.digest import digest_of
from bot.domain.ids import ArtifactId, Digest, Json, UserId
from bot.domain.posts import ApprovalCard
from bot.gate import narrowing

MOST_ITEMS = 12
SIGNS = {
    "create": "+", "update": "~", "replace": "−/+", "delete": "−", "import": "←", "move": "→", "forget": "×",
    "read": "·", "output": "=",
}  # fmt: skip
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
OutcomeKind = Literal["", "good", "bad", "neutral"]
DECIDED = frozenset({"approved", "executing", "done", "unknown_outcome", "denied"})


def render(
    request: ApprovalRequest, *, who_may: Sequence[UserId] = (), result: ToolResult | None = None
) -> ApprovalCard:
    """The card as it should look now. `result` is what an executed request came to."""
    effect, terms = request.effect, request.terms
    data = request.prepared.full_text.encode("utf-8", "replace")
    sha256 = hashlib.sha256(data).hexdigest() if data else ""
    outcome, kind = _outcome(request, result)
    wanted = "deny" if request.status == "denied" else "approve"
    voters = tuple(vote.user for vote in request.votes if vote.ballot == wanted)
    shown = effect.items[:MOST_ITEMS]
    return ApprovalCard(
        request=request.id,
        cls=effect.cls.value,
        environment=request.environment,
        title=visible(effect.title or request.prepared.call.tool),
        create=effect.create,
        change=effect.change,
        destroy=effect.destroy,
        items=tuple(_line(item) for item in shown),
        more_items=len(effect.items) - len(shown),
        facts=_facts(request),
        why=visible(request.reason),
        verdict=visible(request.verdict_line),
        digest=request.digest,
        file=ArtifactId(sha256[:16]) if sha256 else None,
        file_sha256=sha256,
        file_name=("plan.txt" if request.prepared.revision else "call.txt") if sha256 else "",
        requesters=tuple(sorted(request.requesters)) if terms.exclude_requesters else (),
        expires_at=request.expires_at,
        votes=sum(vote.ballot == "approve" for vote in request.votes),
        quorum=terms.quorum,
        voters=voters if request.status in DECIDED or request.status == "pending" else (),
        who_may=tuple(who_may),
        words_by=request.asked_by.capitalize(),
        words=visible(request.words),
        typed=visible(" ".join(terms.typed_names)),
        code=terms.totp,
        narrow=request.status == "pending" and narrowing.offered(request),
        grant_s=terms.grant_s if request.scope and request.status == "pending" else 0,
        outcome=outcome,
        outcome_kind=kind,
    )


def card_digest(card: ApprovalCard) -> Digest:
    """SHA-256 of what was shown, for the audit record."""
    fields: dict[str, Json] = asdict(replace(card, expires_at=card.expires_at))
    return digest_of({**fields, "expires_at": card.expires_at.isoformat()})


def visible(text: str) -> str:
    """Control, bidi, zero-width and other unseen characters as escapes, so that a card shows what is bound."""
    return "".join(_escaped(char) if unicodedata.category(char) in HIDDEN else char for char in text)


def _escaped(char: str) -> str:
    return " " if char in "\t\n" else f"\\u{{{ord(char):x}}}"


def _line(item: Item) -> str:
    where = f" on {visible(item.where)}" if item.where else ""
    detail = f" · {visible(item.detail)}" if item.detail else ""
    return f"{SIGNS.get(item.action, '?')} {visible(item.name)}{where}{detail}"


def _facts(request: ApprovalRequest) -> tuple[str, ...]:
    effect = request.effect
    facts = [visible(note) for note in effect.notes]
    warnings = [f"Warning: {visible(warning)}" for warning in request.warnings]
    if effect.cls in {CallClass.UNKNOWN, CallClass.SENSITIVE_READ, CallClass.DESTROY} and effect.reason:
        facts.insert(0, visible(effect.reason))
    facts += [visible(line) for line in (*request.blast, request.timing) if line]
    facts += [f"Approved by {visible(mark)}" for mark in request.marks]
    if request.without:
        facts.append(f"Without {visible(', '.join(request.without))}, as people asked")
    if effect.undo:
        facts.append(f"Undo: {visible(effect.undo)}")
    return (*warnings, *facts)


def _outcome(request: ApprovalRequest, result: ToolResult | None) -> tuple[str, OutcomeKind]:
    """The first word is what became of it; the renderer adds who decided."""
    note = visible(request.note)
    under = f" · under grant {request.grant[:4]}" if request.grant else ""
    under += "".join(f" · {visible(mark)}" for mark in request.marks)
    match request.status:
        case "pending":
            return "", ""
        case "approved":
            return f"Approved{under} · starts now", "good"
        case "executing":
            return f"Approved{under} · runs", "neutral"
        case "done":
            return _done(result, under)
        case "unknown_outcome":
            return (
                "Unknown outcome · Watchbill looks at what exists and reports; nothing is tried again by itself",
                "bad",
            )
        case "denied" if request.left_out:
            return f"Narrowed · {note}; nothing ran, the agent plans again without", "neutral"
        case "denied":
            return f"Denied · “{note}”" if note else "Denied", "bad"
        case "expired":
            return f"Expired · {note or 'nobody decided in time'}; nothing ran", "neutral"
        case "cancelled":
            return f"Cancelled · {note or 'STOP'}; nothing ran", "neutral"
        case "superseded":
            return f"Superseded · {note}; nothing ran", "neutral"
        case _:
            assert_never(request.status)


def _done(result: ToolResult | None, under: str) -> tuple[str, OutcomeKind]:
    if result is None:
        return f"Approved{under} · done", "good"
    if result.status != "ok":
        first = visible(result.text.strip().splitlines()[0][:200]) if result.text.strip() else "no output"
        return f"Approved{under} · {result.status} after {_took(result.seconds)}: {first}", "bad"
    words = [f"{result.facts[name]} {name}" for name in ("created", "changed", "destroyed") if result.facts.get(name)]
    return f"Approved{under} · {', '.join(words) or 'done'} in {_took(result.seconds)}", "good"


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if 0.05 <= seconds < 9.95 else f"{seconds:.0f} s"
