"""The two ways out that the gate does not see: to the model, and to Slack (rule 22)."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from bot.domain.ids import Json
from bot.domain.model import Answered, Heard, Message, ModelReply, ModelRequest, ProposedCall, Returned
from bot.domain.ports import Model, Redactor
from bot.domain.posts import Body

V = TypeVar("V")
# Fields of a post's body that are names for programs: no text, and cut they would lead nowhere.
NO_TEXT = frozenset(
    {"kind", "request", "question", "digest", "file", "file_sha256", "artifact", "mission", "trigger", "action", "subject",
     "to", "asked", "requester", "requesters", "voters", "who_may", "answered_by", "approvals", "audit_head", "button",
     "buttons", "outcome_kind"}
)  # fmt: skip


class DiscreetModel:
    """A model that is told no secret, whoever wrote it where, and whose own words are cut before anybody keeps them.

    The arguments of its calls stay as they are: the gate judges them, and what it keeps of them it redacts itself.
    """

    def __init__(self, model: Model, redactor: Redactor) -> None:
        self._model = model
        self._redactor = redactor

    async def ask(self, request: ModelRequest) -> ModelReply:
        messages = tuple(self._message(message) for message in request.messages)
        reply = await self._model.ask(replace(request, messages=messages))
        text = self._redactor.text
        return replace(reply, thought=text(reply.thought), speech=text(reply.speech))

    def _message(self, message: Message) -> Message:
        text = self._redactor.text
        match message:
            case Heard(words):
                return Heard(text(words))
            case Answered(words, calls):
                return Answered(text(words), tuple(self._call(call) for call in calls))
            case Returned(call, words, failed):
                return Returned(call, text(words), failed)

    def _call(self, call: ProposedCall) -> ProposedCall:
        clean = self._redactor.json(dict(call.arguments))
        return replace(call, arguments=cast("dict[str, Json]", clean))


def discreet_body(redactor: Redactor) -> Callable[[Body], Body]:
    """What makes a post's body fit to be shown: every text in it redacted."""

    def clean(body: Body) -> Body:
        return _cleaned(body, redactor.text)

    return clean


def _cleaned(value: V, text: Callable[[str], str]) -> V:
    """The same value with every text in it made clean, names for programs excepted."""
    if is_dataclass(value):
        shown = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in NO_TEXT}
        clean: dict[str, Any] = {name: _cleaned(item, text) for name, item in shown.items()}
        changed = {name: item for name, item in clean.items() if item != shown[name]}
        return replace(cast("Any", value), **changed) if changed else cast("V", value)
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        return cast("V", tuple(_cleaned(item, text) for item in items))
    return cast("V", text(value)) if isinstance(value, str) else value
