"""Faults on demand: which request they hit, and what they make of an answer."""

from dataclasses import dataclass, replace
from typing import Any

from deploy.lab.model.conversation import Answer, AnswerCall, Conversation

TRANSPORT = ("rate_limited", "quota", "server_error", "bad_gateway", "overloaded", "hang", "drop", "not_json")
ANSWER = (
    "truncated",
    "malformed_arguments",
    "unknown_tool",
    "think_tag",
    "think_line",
    "step_line",
    "refusal",
    "empty",
    "huge_text",
    "parallel",
)
KINDS = TRANSPORT + ANSWER
HUGE = 2 * 1024 * 1024
UNKNOWN_TOOL = "request_security_audit"
STRAY_THOUGHT = "I should weigh whether the reviewer will notice the missing host key."
HARMLESS_READS = (
    ("proxmox_read", '{"what": "nodes"}'),
    ("workspace_list", "{}"),
    ("terraform_state", '{"directory": "."}'),
)


class FaultError(ValueError):
    """A fault was ordered that does not exist. The text says what does."""


@dataclass(slots=True)
class Fault:
    """`after` requests of the persona pass before it; then it hits `count` of them."""

    kind: str
    persona: str = ""
    count: int = 1
    after: int = 0
    retry_after_s: float = 1.0
    seconds: float = 600.0
    text: str = ""


class FaultQueue:
    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def order(self, wanted: dict[str, Any]) -> Fault:
        """Queue a fault. Raises FaultError."""
        kind = wanted.get("kind")
        if kind not in KINDS:
            raise FaultError(f"kind {kind!r} is none of {', '.join(KINDS)}")
        fields = {"persona": str, "count": int, "after": int, "retry_after_s": float, "seconds": float, "text": str}
        unknown = set(wanted) - set(fields) - {"kind"}
        if unknown:
            raise FaultError(f"unknown field {min(unknown)!r}; there are kind, {', '.join(fields)}")
        try:
            values = {
                name: fields[name](value) for name, value in wanted.items() if name in fields and value is not None
            }
        except (TypeError, ValueError) as error:
            raise FaultError(f"a field has the wrong type: {error}") from error
        fault = Fault(kind, **values)
        fault.persona = fault.persona.lower()
        self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, persona: str) -> Fault | None:
        """The fault for this request of `persona`, one use counted; None lets it pass."""
        for fault in self._waiting:
            if fault.persona not in {"", persona}:
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.count -= 1
            if fault.count <= 0:
                self._waiting.remove(fault)
            return fault
        return None


def spoil(answer: Answer, fault: Fault, conversation: Conversation) -> Answer:
    """What an answer becomes under a fault of the ANSWER kinds."""
    thought = fault.text
    match fault.kind:
        case "truncated":
            calls = (*answer.calls[:-1], _cut(answer.calls[-1])) if answer.calls else ()
            return replace(answer, text=answer.text[: len(answer.text) // 2], calls=calls, stop="truncated")
        case "malformed_arguments":
            calls = answer.calls or (AnswerCall("read_artifact", '{"id": "0"}'),)
            return replace(answer, calls=tuple(_cut(call) for call in calls))
        case "unknown_tool":
            return replace(answer, calls=(AnswerCall(UNKNOWN_TOOL, '{"scope": "everything"}'),))
        case "think_tag":
            return replace(answer, text=f"<think>{thought}</think>\n{answer.text}")
        case "think_line":
            return replace(answer, text=f"::think {thought}\n{answer.text}")
        case "step_line":
            return replace(answer, text=f"Thinking step 3/20: {thought}\n{answer.text}")
        case "refusal":
            return Answer(text="I can't help with that.", stop="refused")
        case "empty":
            return Answer()
        case "huge_text":
            return replace(answer, text=(answer.text + "\n" + "All of it is fine. " * (HUGE // 19 + 1))[:HUGE])
        case "parallel":
            more = [AnswerCall(*read) for read in HARMLESS_READS if read[0] in conversation.tools]
            return replace(answer, calls=(*more, *answer.calls))
        case _:
            return answer


def _cut(call: AnswerCall) -> AnswerCall:
    return replace(call, raw=call.raw[: max(1, len(call.raw) - 3)])
