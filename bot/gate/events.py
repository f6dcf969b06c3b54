"""Names of the gate's audit events: one for each arrow of the design's drawing."""

from typing import Literal

from bot.domain.deputies import DeputyKind

CALL_REFUSED = "call.refused"
CALL_ALLOWED = "call.allowed"
CALL_BROKE = "call.broke"
REQUEST_ASKED = "request.asked"
REQUEST_REPEATED = "request.repeated"
REQUEST_APPROVED = "request.approved"
REQUEST_DENIED = "request.denied"
REQUEST_NARROWED = "request.narrowed"
REQUEST_EXPIRED = "request.expired"
REQUEST_CANCELLED = "request.cancelled"
REQUEST_SUPERSEDED = "request.superseded"
EXECUTION_BEGUN = "execution.begun"
EXECUTION_REFUSED = "execution.refused"
EXECUTION_ENDED = "execution.ended"
EXECUTION_UNKNOWN = "execution.unknown"
EXECUTION_RECOVERED = "execution.recovered"
GRANT_OPENED = "grant.opened"
GRANT_USED = "grant.used"
GRANT_REVOKED = "grant.revoked"
GRANT_EXPIRED = "grant.expired"
GRANT_STOPPED = "grant.stopped"
GRANT_OUTDATED = "grant.outdated"
GRANT_REFUSED = "grant.refused_revocation"
FREEZE_BEGUN = "freeze.begun"
FREEZE_ENDED = "freeze.ended"
FREEZE_REFUSED = "freeze.refused"
DELEGATION_OFFERED = "delegation.offered"
DELEGATION_BEGUN = "delegation.begun"
BREAK_GLASS_ASKED = "break_glass.asked"
BREAK_GLASS_BEGUN = "break_glass.begun"
DEPUTY_ENDED: dict[DeputyKind, str] = {"delegation": "delegation.ended", "break_glass": "break_glass.ended"}
DEPUTY_REFUSED = "deputy.refused"
VOTE_CAST = "vote.cast"
VOTE_COUNTED = "vote.counted"

Refusal = Literal[
    "not_an_approver", "is_requester", "already_decided", "already_voted", "expired", "superseded", "unknown",
    "wrong_place", "typed_wrong", "cancelled", "frozen", "not_named", "code_wrong",
]  # fmt: skip
VOTE_REFUSED: dict[Refusal, str] = {
    "not_an_approver": "vote.refused_not_an_approver",
    "is_requester": "vote.refused_requester",
    "already_decided": "vote.refused_decided",
    "already_voted": "vote.refused_repeated",
    "expired": "vote.refused_expired",
    "superseded": "vote.refused_superseded",
    "unknown": "vote.refused_unknown",
    "wrong_place": "vote.refused_place",
    "typed_wrong": "vote.refused_typed",
    "cancelled": "vote.refused_cancelled",
    "frozen": "vote.refused_frozen",
    "not_named": "vote.refused_not_named",
    "code_wrong": "vote.refused_code",
}
