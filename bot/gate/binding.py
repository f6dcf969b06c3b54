"""What an approval covers, as one digest (rule 11). Pure."""

from collections.abc import Mapping

from bot.domain.calls import Effect, Prepared
from bot.domain.digest import digest_of
from bot.domain.ids import Digest, Json

VERSION = 1


def digest_of_call(
    prepared: Prepared, *, environment: str, estate: str, policy_version: str, pins: Mapping[str, str] | None = None
) -> Digest:
    """The digest of exactly what would run: tool, its binding, snapshot, effect, environment, policies, state pins.

    Who proposed it, and in which words, is left out: the same thing proposed again is the same thing. `pins` stand in
    for the prepared ones (they are read again at execution). Raises NotCanonicalError.
    """
    return digest_of(
        {
            "v": VERSION,
            "tool": prepared.call.tool,
            "binding": dict(prepared.binding),
            "snapshot": prepared.snapshot,
            "revision": prepared.revision,
            "effect": _effect(prepared.effect),
            "environment": environment,
            "estate": estate,
            "policy_version": policy_version,
            "pins": dict(prepared.pins if pins is None else pins),
        }
    )


def _effect(effect: Effect) -> Json:
    """What the card shows is bound as well: a card cannot show another effect than the approved one."""
    return {
        "class": effect.cls.value,
        "rule": effect.rule,
        "title": effect.title,
        "targets": [[target.kind, target.name] for target in effect.targets],
        "items": [[item.action, item.name, item.detail, item.where] for item in effect.items],
        "counts": [effect.create, effect.change, effect.destroy],
    }
