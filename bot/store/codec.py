"""JSON of the domain's types, and back. The one place where stored bytes become values."""

import json
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import Field, TypeAdapter
from pydantic_core import PydanticSerializationError

from bot.domain.approvals import ApprovalRequest, Vote
from bot.domain.calls import ToolResult
from bot.domain.deputies import Deputy
from bot.domain.grants import Freeze, Grant
from bot.domain.inbound import Immediate, Ordered, Said
from bot.domain.log import Entry
from bot.domain.posts import Post
from bot.domain.state import Mission
from bot.domain.storage import AuditEvent

T = TypeVar("T")


class Codec(Generic[T]):
    """Made at first use: building all of them takes tens of milliseconds."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def dump(self, value: T) -> str:
        try:
            return _adapter(self._kind).dump_json(value).decode()
        except PydanticSerializationError:  # half of a surrogate pair, cut by Slack or a model: no UTF-8 has it
            return json.dumps(_mended(_adapter(self._kind).dump_python(value, mode="json")), ensure_ascii=False)

    def load(self, text: str | bytes) -> T:
        return cast("T", _adapter(self._kind).validate_json(text))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _mended(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_mended(key): _mended(item) for key, item in cast("dict[Any, Any]", value).items()}
        case list():
            return [_mended(item) for item in cast("list[Any]", value)]
        case _:
            return value


_KIND = Field(discriminator="kind")

ENTRY: Codec[Entry] = Codec(Annotated[Entry, _KIND])
POST: Codec[Post] = Codec(Post)
SAID: Codec[Said] = Codec(Said)
ORDERED: Codec[Ordered] = Codec(Annotated[Ordered, _KIND])
IMMEDIATE: Codec[Immediate] = Codec(Annotated[Immediate, _KIND])
REQUEST: Codec[ApprovalRequest] = Codec(ApprovalRequest)
VOTE: Codec[Vote] = Codec(Vote)
RESULT: Codec[ToolResult] = Codec(ToolResult)
GRANT: Codec[Grant] = Codec(Grant)
DEPUTY: Codec[Deputy] = Codec(Deputy)
FREEZE: Codec[Freeze] = Codec(Freeze)
MISSION: Codec[Mission] = Codec(Mission)
AUDIT: Codec[AuditEvent] = Codec(AuditEvent)
