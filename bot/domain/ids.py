"""Names of things, as types of their own so that one cannot be passed for another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NewType, cast

from typing_extensions import TypeAliasType

Json = TypeAliasType(
    "Json", "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
)  # as json.loads gives it

MissionId = NewType("MissionId", str)  # "7": counted per deployment, what people say in Slack
PersonaName = NewType("PersonaName", str)  # "architect", the file name in personas/
CallId = NewType("CallId", str)  # the provider's id of a proposed call, made unique by a "<mission>.<turn>." prefix
RequestId = NewType("RequestId", str)  # 128 random bits in hex; cards show the first four digits
QuestionId = NewType("QuestionId", str)
ArtifactId = NewType("ArtifactId", str)  # first 16 hex digits of the SHA-256 of the (redacted) bytes
Digest = NewType("Digest", str)  # SHA-256 in hex of a canonical form
EntryId = NewType("EntryId", str)  # position in a mission's log: a Redis stream id
InboxId = NewType("InboxId", str)
LaneKey = NewType("LaneKey", str)  # "<team>/<channel>/<thread ts>": one thread, one mission, one lease
UserId = NewType("UserId", str)  # Slack's U…


def texts(value: object) -> tuple[str, ...]:
    """The members of a JSON list as texts; () where it is none."""
    return tuple(map(str, cast("Sequence[Json]", value))) if isinstance(value, list | tuple) else ()


@dataclass(frozen=True, slots=True)
class Thread:
    """One Slack thread. `ts` is the ts of its first message."""

    team: str
    channel: str
    ts: str

    @property
    def lane(self) -> LaneKey:
        return LaneKey(f"{self.team}/{self.channel}/{self.ts}")


@dataclass(frozen=True, slots=True)
class Token:
    """Proof of holding a lane's lease. A write with a number below the store's newest is refused."""

    lane: LaneKey
    number: int
    holder: str
