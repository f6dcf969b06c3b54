"""The tool boundary: what a tool raises becomes a value here, what it returns is redacted, bounded and kept."""

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bot.domain.calls import ResultStatus, ToolCall, ToolResult
from bot.domain.ids import Json
from bot.domain.ports import ArgumentError, Redactor, Tool
from bot.domain.storage import StaleTokenError, StoreUnavailableError
from bot.gate.parts import Parts, clean

MOST = 2_000_000  # characters of one result that are kept at all
PIECE = 262_144  # characters that are redacted in one go: some 20 ms
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Broke:
    """A tool raised, or took too long. `text` is short and redacted."""

    text: str


async def attempt(parts: Parts, step: Awaitable[T], timeout_s: float) -> T | Broke:
    """`step`, with every exception of a tool as a value. Store and lease errors, and bad arguments, go up."""
    try:
        async with asyncio.timeout(timeout_s):
            return await step
    except (ArgumentError, StaleTokenError, StoreUnavailableError):
        raise
    except TimeoutError:
        return Broke(f"no answer within {timeout_s:.0f} s")
    except Exception as error:  # noqa: BLE001 # the tool boundary: one of three broad excepts of the program
        return Broke(parts.redactor.text(f"{type(error).__name__}: {error}")[:300])


async def parse(tool: Tool, arguments: Mapping[str, Json]) -> Any:
    """As a step that `attempt` can guard."""
    return tool.parse(arguments)


async def kept(parts: Parts, call: ToolCall, result: ToolResult) -> ToolResult:
    """The result as the model and the log may have it: redacted, its whole an artifact where it is long."""
    whole = bounded(await redacted(parts.redactor, result.text))
    data = whole.encode("utf-8", "replace")
    artifact, text = result.artifact, whole
    if len(whole) > parts.shown:
        artifact = artifact or await parts.artifacts.put(data, name=f"{call.tool}-{call.id}.txt")
        text = _head_and_tail(whole, parts.shown, artifact)
    return replace(
        result,
        call=call.id,
        tool=call.tool,
        text=text,
        artifact=artifact,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        facts=clean(parts.redactor, result.facts),
    )


async def redacted(redactor: Redactor, text: str) -> str:
    """`text` without secrets; a long one in pieces, so that leases are renewed and STOP is heard meanwhile."""
    if len(text) <= PIECE:
        return redactor.text(text)
    stream, out = redactor.stream(), list[str]()
    for at in range(0, len(text), PIECE):
        out.append(stream.feed(text[at : at + PIECE]))
        await asyncio.sleep(0)
    return "".join((*out, stream.finish()))


def bounded(text: str) -> str:
    """At most MOST characters, and a line that says what was left out."""
    if len(text) <= MOST:
        return text
    return f"{text[:MOST]}\n[cut: the tool gave {len(text):,} characters, {MOST:,} are kept]"


def refused(
    call: ToolCall, text: str, status: ResultStatus = "refused", facts: Mapping[str, Json] | None = None
) -> ToolResult:
    """A result of the gate itself: it says no, and what would be a yes."""
    return ToolResult(call.id, call.tool, status, text, facts=facts or {})


def _head_and_tail(text: str, most: int, artifact: str) -> str:
    head, tail = text[: most * 2 // 3], text[-(most // 3) :]
    left = len(text) - len(head) - len(tail)
    return f"{head}\n[… {left:,} of {len(text):,} characters left out: read_artifact {artifact}]\n{tail}"
