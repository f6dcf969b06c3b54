"""Narrowing: an approver takes names out of a request. It ends as denied, with the names; what comes next is asked anew."""

from collections.abc import Sequence

from bot.domain.approvals import ApprovalRequest, NotCounted
from bot.domain.calls import CallClass, Prepared

CLASSES = frozenset({CallClass.CHANGE, CallClass.DESTROY})


def offered(request: ApprovalRequest) -> bool:
    """Whether something would be left of it: one thing on one host is approved or denied, not narrowed."""
    effect = request.effect
    changed = {item.name for item in effect.items if item.action not in {"read", "output"}}
    return effect.cls in CLASSES and max(len(changed), len(set(effect.targets))) > 1


def refused(request: ApprovalRequest, left_out: Sequence[str]) -> NotCounted | None:
    """Why these names cannot be taken out of it: narrowing never adds, and leaves something."""
    unknown = [name for name in left_out if name not in request.names]
    if unknown:
        has = ", ".join(request.names[:20])
        text = f"Nothing changed: {', '.join(unknown[:5])} is not in request {request.short}. It has: {has}."
        return NotCounted("not_named", text, request)
    if set(left_out) >= set(request.names):
        return NotCounted(
            "not_named", "Nothing changed: that leaves nothing of it. Press Deny to refuse it whole.", request
        )
    return None


def words(left_out: Sequence[str]) -> str:
    """The denial's reason."""
    return f"leave out {', '.join(left_out)}" if left_out else ""


def told(request: ApprovalRequest) -> str:
    """What the agent hears."""
    names = ", ".join(request.left_out)
    return (
        f"Not as it is: a human takes out {names}. Take {names} out of the code, leave everything else as it is, plan again, "
        "have that plan reviewed and propose it: it is a new request. If the rest cannot be done without, or taking it out "
        f"of the code would remove something that exists, do not try: say why. Calls that touch {names} are refused."
    )


def touched(left_out: Sequence[str], prepared: Prepared) -> str:
    """Why a call is refused that touches what people took out of this mission's requests, or ""."""
    effect = prepared.effect
    changed = {item.name for item in effect.items if item.action not in {"read", "output"}}
    names = [name for name in left_out if name in changed or name in {target.name for target in effect.targets}]
    if not names:
        return ""
    return (
        f"Refused: people took {', '.join(names)} out of an earlier request of this mission, and this touches it. "
        "Propose it without. If that cannot be done, say why: only a human's amendment of the request brings it back."
    )
