"""What missions cost and what the record says of them, as rows for `/cost` and `/audit`. Pure."""

from collections.abc import Sequence
from datetime import datetime

from bot.domain.state import Mission, Spend
from bot.domain.storage import AuditEvent
from bot.forecast import forecast_usd

Rows = tuple[tuple[str, ...], ...]
BAR = 12  # characters of the longest bar
EVENTS_SHOWN = 20
FACTS_SHOWN = ("tool", "class", "status", "outcome", "why", "ballot", "reason")


def costs_of_missions(states: Sequence[Mission]) -> Rows:
    """One row a mission, newest first, with its part of the dearest as a bar."""
    most = max((state.spend.usd for state in states), default=0.0)
    rows = (
        (f"mission {state.id}", _usd(state.spend.usd), _bar(state.spend.usd, most), *_use(state.spend))
        for state in states
    )
    return (("mission", "spent", "", "tokens", "model calls"), *rows)


def costs_of_agents(state: Mission) -> Rows:
    """One row an agent of the mission, dearest first."""
    spends = sorted(state.spend_by.items(), key=lambda item: -item[1].usd)
    most = max((spend.usd for _, spend in spends), default=0.0)
    rows = ((name, _usd(spend.usd), _bar(spend.usd, most), *_use(spend)) for name, spend in spends)
    return (("agent", "spent", "", "tokens", "model calls"), *rows)


def bill_of(state: Mission, limit_usd: float) -> str:
    """The mission's bill in one sentence."""
    most = limit_usd * state.factor
    read = f"{state.spend.prompt:,} tokens read, {state.spend.completion:,} written"
    ahead = forecast_usd(state)
    pace = f" · about {_usd(ahead)} at this pace" if ahead is not None else ""
    return f"{_usd(state.spend.usd)} of {_usd(most)} spent{pace} · {state.spend.steps} model calls · {read}"


def record_of(events: Sequence[tuple[datetime, AuditEvent]]) -> Rows:
    """The newest events of a mission, oldest of them first: when, what, who, and the few facts that tell it apart."""
    shown = events[-EVENTS_SHOWN:]
    rows = ((at.strftime("%H:%M:%S"), event.kind, event.who, _facts(event)) for at, event in shown)
    return (("at (UTC)", "event", "who", "of it"), *rows)


def _facts(event: AuditEvent) -> str:
    request = str(event.facts.get("request", ""))[:4]
    facts = [str(event.facts[name])[:40] for name in FACTS_SHOWN if event.facts.get(name)]
    return " · ".join([*([f"request {request}"] if request else []), *facts])[:100]


def _use(spend: Spend) -> tuple[str, str]:
    return f"{spend.tokens:,}", str(spend.steps)


def _usd(usd: float) -> str:
    return f"${usd:.3f}" if 0 < usd < 0.1 else f"${usd:.2f}"


def _bar(part: float, most: float) -> str:
    return "█" * max(1, round(BAR * part / most)) if most > 0 and part > 0 else ""
