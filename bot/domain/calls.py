"""Tool calls, what they can do, and what came back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bot.domain.ids import ArtifactId, CallId, Digest, Json, MissionId, PersonaName


class CallClass(StrEnum):
    """What a call can do, weakest first. `read` changes nothing outside the mission's own branch and log."""

    READ = "read"
    SENSITIVE_READ = "sensitive-read"
    CHANGE = "change"
    DESTROY = "destroy"
    UNKNOWN = "unknown"
    FORBIDDEN = "forbidden"


SEVERITY: tuple[CallClass, ...] = tuple(CallClass)


def highest(*classes: CallClass) -> CallClass:
    """The most severe of `classes`; `read` of none. Stages of a classifier can only raise."""
    return max(classes, key=SEVERITY.index, default=CallClass.READ)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's proposal. `arguments` are what the model sent, not yet parsed by the tool."""

    id: CallId
    tool: str
    arguments: Mapping[str, Json]
    persona: PersonaName
    mission: MissionId
    turn: int


@dataclass(frozen=True, slots=True)
class Target:
    """A thing a call touches. `kind`: node, vm, pool, host, context, namespace, url, file; `unknown` is production."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """One line of what a change does: `action` is create, update, replace, delete, import, move, forget, read or output."""

    action: str
    name: str
    detail: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a call would do, told by the tool from its typed arguments; `reason` and `rule` go on the card."""

    cls: CallClass
    rule: str
    reason: str
    title: str = ""
    targets: tuple[Target, ...] = ()
    items: tuple[Item, ...] = ()
    create: int = 0
    change: int = 0
    destroy: int = 0
    undo: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call ready to be decided: what it does and exactly what would run.

    `binding` is the canonical form that is digested (tool, arguments, snapshot hash, pins, …). `snapshot` names the
    read-only copy that execution uses, or "" where the call reads no files. `pins` are checked again at execution.
    `revision` is the digest a security verdict must name before this call may run ("" where none is needed).
    `alike` names what stays the same when the same thing is proposed under another digest (the same code planned
    again): after a deny, whatever shares one of them is not asked again.
    """

    call: ToolCall
    effect: Effect
    binding: Mapping[str, Json]
    snapshot: str = ""
    pins: Mapping[str, str] = field(default_factory=dict[str, str])
    revision: str = ""
    full_text: str = ""
    alike: tuple[str, ...] = ()


ResultStatus = Literal["ok", "failed", "refused", "denied", "held", "interrupted", "unknown_outcome"]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came back. `text` is what the model sees (capped, redacted); `artifact` names the whole of it.

    `facts` are small structured values (HTTP status, counts) that evidence and cards use. `changed` is true when
    something outside the workspace may have changed: evidence older than it no longer counts.
    """

    call: CallId
    tool: str
    status: ResultStatus
    text: str
    artifact: ArtifactId | None = None
    sha256: str = ""
    size: int = 0
    facts: Mapping[str, Json] = field(default_factory=dict[str, Json])
    changed: bool = False
    digest: Digest | None = None
    seconds: float = 0.0
