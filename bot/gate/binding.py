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
            **_lasting(prepared, environment=environment, estate=estate, policy_version=policy_version),
            "pins": dict(prepared.pins if pins is None else pins),
        }
    )


def scope_of_call(prepared: Prepared, *, environment: str, estate: str, policy_version: str) -> Digest:
    """What a grant covers: everything that an approval binds but the state pins, for the persona that asked. The pins
    are another at every use by nature (a resource's version, a serial); each use binds its own. Raises NotCanonicalError.
    """
    lasting = _lasting(prepared, environment=environment, estate=estate, policy_version=policy_version)
    return digest_of({**lasting, "grant_to": prepared.call.persona})


def _lasting(prepared: Prepared, *, environment: str, estate: str, policy_version: str) -> dict[str, Json]:
    return {
        "v": VERSION,
        "tool": prepared.call.tool,
        "binding": dict(prepared.binding),
        "snapshot": prepared.snapshot,
        "revision": prepared.revision,
        "effect": _effect(prepared.effect),
        "environment": environment,
        "estate": estate,
        "policy_version": policy_version,
    }


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
