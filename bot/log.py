"""structlog set-up: JSON lines on stderr, every value redacted on its way out. Event names are constants noun.verb_past."""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, cast

import structlog

TURN_STARTED = "turn.started"
TURN_ENDED = "turn.ended"
GUARD_INTERVENED = "guard.intervened"
TURN_FAILED = "turn.failed"
LANE_LEFT = "lane.left"
LANE_RECOVERED = "lane.recovered"
ITEM_FAILED = "item.failed"
WORKER_STARTED = "worker.started"
WORKER_STOPPED = "worker.stopped"


def set_up(level: str, redact: Callable[[str], str] | None = None) -> None:
    """Configure structlog and the standard library's root logger once for the process."""
    number = getattr(logging, level.upper())
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr)
    for handler in logging.getLogger().handlers:  # libraries log there, tracebacks of forgotten tasks too
        if type(handler) is logging.StreamHandler:  # ours; a test runner's are not
            handler.setFormatter(_Clean(redact))

    def redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return event if redact is None else {key: _clean(value, redact) for key, value in event.items()}

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            redacted,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


class _Clean(logging.Formatter):
    """A library's message, and its traceback, redacted."""

    def __init__(self, redact: Callable[[str], str] | None) -> None:
        super().__init__("%(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if self._redact is None else self._redact(text)


def logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that names its part of the program."""
    return structlog.get_logger(part=part)


def _clean(value: Any, redact: Callable[[str], str]) -> Any:
    match value:
        case str():
            return redact(value)
        case int() | float() | bool() | None:
            return value
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {redact(str(key)): _clean(item, redact) for key, item in items}
        case list() | tuple():
            return [_clean(item, redact) for item in cast("list[object]", value)]
        case _:
            return redact(str(value))
