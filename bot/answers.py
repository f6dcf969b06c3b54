"""Answers to slash commands and their mention twins: only the person who asked sees them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from bot.agents.persona import Persona
from bot.bills import bill_of, costs_of_agents, costs_of_missions, record_of
from bot.cards import Titles
from bot.details import details_of
from bot.domain.approvals import ApprovalRequest
from bot.domain.calls import ToolResult
from bot.domain.deputies import Deputy
from bot.domain.ids import MissionId, PersonaName, UserId
from bot.domain.inbound import Commanded, Reply
from bot.domain.ports import Clock, Door, Watch
from bot.domain.posts import ApprovalCard, Home, Private
from bot.domain.state import Mission
from bot.domain.storage import Approvals, Audit, AuditEvent, Journal
from bot.mission import mark_of
from bot.remembered import remembered
from bot.status import Status
from bot.verifying import Verifier

Rows = tuple[tuple[str, ...], ...]
WATCHBILL = PersonaName("watchbill")
MISSIONS_SHOWN = 10
NO_MISSION = "No mission yet. Mention @Architect with what you want built."
CARDS_SHOWN = 8
ADDING = (
    "Your words are added to the request, and Architect draws criteria from them. Nothing is taken away: what need not be "
    "shown is waived, with a reason, by “mission waive <number>”."
)
HELP = (
    "Commands: cluster-status, mission [number], mission verify [number], mission accept, mission waive, "
    "mission freeze [reason], mission thaw, approvals, approvals delegate, approvals accept, approvals end, "
    "approvals break-glass, crew, cost [number], audit [number]. "
    "As a mention: “@Watchbill mission 7”."
)


class Looks(Door, Protocol):
    """The gate, as answers need it: reads through the one door, and the cards of what waits."""

    async def deputies(self) -> tuple[Deputy, ...]: ...
    def card(self, request: ApprovalRequest, result: ToolResult | None = None) -> ApprovalCard: ...


class Silent:
    """The Watch of a look that nobody follows and nothing stops."""

    async def progress(self, *parts: str) -> None:
        """Nobody is told."""

    def stopping(self) -> int:
        return 0

    def alive(self) -> bool:
        return True


class Answers:
    """Reads only; every look at infrastructure goes through the gate as any read does (rule 9)."""

    def __init__(
        self, *, journal: Journal, approvals: Approvals, door: Looks, personas: Mapping[PersonaName, Persona],
        clock: Clock, titles: Titles, watch: Watch, estate: str, audit: Audit, limit_usd: float,
        lock: Callable[[], Awaitable[tuple[str, str] | None]], verifier: Verifier,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._approvals = approvals
        self._door = door
        self._personas = personas
        self._clock = clock
        self._titles = titles
        self._audit = audit
        self._limit_usd = limit_usd
        self._verifier = verifier
        self._status = Status(
            door=door, approvals=approvals, journal=journal, clock=clock, watch=watch, verifier=verifier, lock=lock,
            estate=estate,
        )  # fmt: skip

    async def answer(self, asked: Commanded) -> Private:
        """What `asked.reply.user` gets to see. The desk has seen to it that the person is listed."""
        match asked.name:
            case "cluster-status":
                return await self._status.show(asked)
            case "mission":
                return await self._mission(asked)
            case "approvals":
                return await self._waiting(asked)
            case "crew":
                return self._crew(asked)
            case "cost":
                return await self._cost(asked)
            case "audit":
                return await self._record(asked)
            case _:
                return Private(asked.reply.user, f"There is no command “{asked.name}”. {HELP}")

    async def _mission(self, asked: Commanded) -> Private:
        first, _, rest = asked.text.strip().partition(" ")
        if first == "verify":
            return await self._verify(replace(asked, text=rest))
        user, state = asked.reply.user, await self._meant(asked)
        if isinstance(state, str):
            return Private(user, state)
        if state is not None:
            return Private(user, _summary(state, self._titles), _criteria_rows(state), title=f"Mission {state.id}")
        states = await self._latest()
        if not states:
            return Private(user, NO_MISSION)
        rows = (_mission_row(state, self._titles) for state in states)
        heads = ("mission", "state", "criteria", "spent", "asked for")
        return Private(user, f"{_missions(len(states))}, newest first.", (heads, *rows), title="Missions")

    async def _verify(self, asked: Commanded) -> Private:
        user, state = asked.reply.user, await self._meant(asked)
        if state is None:
            return Private(user, "Which mission? “mission verify 7”, or in its thread “@Watchbill mission verify”.")
        if isinstance(state, str):
            return Private(user, state)
        found = await self._verifier.verify(state)
        held = sum(one.standing == "holds" for one in found)
        rows = ((str(one.criterion.number), one.standing, one.criterion.text, one.seen) for one in found)
        text = f"{held} of {len(found)} criteria hold now, as their own probes say."
        return Private(user, text, (("no.", "now", "criterion", "seen"), *rows), title=f"Mission {state.id}, verified")

    async def _cost(self, asked: Commanded) -> Private:
        user, state = asked.reply.user, await self._meant(asked)
        if isinstance(state, str):
            return Private(user, state)
        if state is not None:
            text = bill_of(state, self._limit_usd)
            return Private(user, text, costs_of_agents(state), title=f"What mission {state.id} cost")
        states = await self._latest()
        if not states:
            return Private(user, NO_MISSION)
        whole = sum(state.spend.usd for state in states)
        text = f"{_missions(len(states))}: ${whole:.2f}. “cost 7” has mission 7 by agent."
        return Private(user, text, costs_of_missions(states), title="Cost")

    async def _record(self, asked: Commanded) -> Private:
        user, state = asked.reply.user, await self._meant(asked)
        if state is None:
            state = next(iter(await self._latest()), NO_MISSION)
        if isinstance(state, str):
            return Private(user, state)
        events = await self._events(state)
        text = (
            f"{len(events)} events, the newest below. “python -m bot audit export” has all of them, with their hashes."
        )
        return Private(user, text, record_of(events), title=f"Record of mission {state.id}")

    async def _events(self, state: Mission) -> list[tuple[datetime, AuditEvent]]:
        """What the record holds of a mission: none of it is older than the mission."""
        found: list[tuple[datetime, AuditEvent]] = []
        after = f"{round(state.opened_at.timestamp() * 1000) - 1}-0"
        while page := await self._audit.read(after, 1000):
            found += [(at, event) for _, at, event in page if event.mission == state.id]
            after = page[-1][0]
        return found

    async def _meant(self, asked: Commanded) -> Mission | str | None:
        """The mission that the words name, else that of the thread; why there is none; None where none is meant."""
        wanted = asked.text.strip().lstrip("#")
        if not wanted and asked.thread is not None:
            wanted = await self._journal.mission_of(asked.thread) or ""
        if not wanted:
            return None
        return (
            await remembered(self._journal, MissionId(wanted))
            or f"There is no mission “{wanted}”. /mission lists them."
        )

    async def _latest(self) -> list[Mission]:
        """Newest first."""
        numbers = (await self._journal.missions(running=False))[:MISSIONS_SHOWN]
        return [state for state in [await remembered(self._journal, number) for number in numbers] if state is not None]

    async def details(self, mission: MissionId) -> tuple[str, str]:
        """Summary and details of a mission, for the form behind its card; ("", "") where there is none."""
        state = await remembered(self._journal, mission)
        return (_summary(state, self._titles), details_of(state, self._titles)) if state else ("", "")

    async def contract(self, mission: MissionId) -> str:
        """The criteria, the words that none of them covers, and what adding does; "" where there is no such mission."""
        state = await remembered(self._journal, mission)
        if state is None:
            return ""
        lines = [f"{mark_of(state, one)} · {one.number} {one.text}" for one in state.criteria]
        lines += [f"no criterion · “{words}”" for words in state.uncovered]
        return "\n".join([*lines, "", ADDING])

    async def _waiting(self, asked: Commanded) -> Private:
        """First what waits for this person, with buttons; then what waits for others."""
        user, now = asked.reply.user, self._clock.now()
        deputies = "".join(f"\n{one.id} · {one.words}{_offered(one)}" for one in await self._door.deputies())
        waiting = [one for one in await self._approvals.pending() if one.expires_at > now]
        if not waiting:
            return Private(user, f"Nothing waits for approval.{deputies}", title="Approvals")
        cards = {one.id: self._door.card(one) for one in waiting}
        mine = [
            one for one in waiting
            if user in cards[one.id].who_may and user not in {vote.user for vote in one.votes}
        ][:CARDS_SHOWN]  # fmt: skip
        others = [one for one in waiting if one not in mine]
        head = ("request", "class", "what", "until", "votes")
        rows = (head, *(_request_row(request) for request in others)) if others else ()
        text = f"{len(waiting)} waiting, {len(mine)} of them for you.{deputies}"
        return Private(user, text, rows, title="Approvals", cards=tuple(cards[one.id] for one in mine))

    async def home(self, user: UserId, note: str) -> Home:
        """What waits for this person, as /approvals has it, and the latest missions."""
        told = await self._waiting(Commanded("approvals", "", Reply("", "", "", user)))
        waits = [f"Waits for others: {' · '.join(row)}" for row in told.rows[1:]]
        rows = [_mission_row(state, self._titles) for state in await self._latest()]
        missions = [
            f"Mission {number}: {state}, criteria {met}, {usd}. {said}" for number, state, met, usd, said in rows
        ]
        return Home(user, note, told.text, told.cards, (*waits, *missions))

    def _crew(self, asked: Commanded) -> Private:
        rows = tuple((p.title, p.role, p.model, f"{len(p.tools)} tools") for p in self._personas.values())
        return Private(asked.reply.user, "Who is here.", (("agent", "does", "model", "may use"), *rows), title="Crew")


def _offered(one: Deputy) -> str:
    return "" if one.live else " (waits for the second person)"


def _missions(count: int) -> str:
    return "1 mission" if count == 1 else f"{count} missions"


def _request_row(request: ApprovalRequest) -> tuple[str, ...]:
    votes = f"{sum(vote.ballot == 'approve' for vote in request.votes)} of {request.terms.quorum}"
    until = request.expires_at.strftime("%H:%M UTC")
    return (request.short, request.effect.cls.value, request.effect.title, until, votes)


def _mission_row(state: Mission, titles: Titles) -> tuple[str, ...]:
    passed = sum(mark_of(state, criterion) in {"passed", "waived"} for criterion in state.criteria)
    return (
        state.id,
        _where(state, titles),
        f"{passed} of {len(state.criteria)}",
        f"${state.spend.usd:.2f}",
        state.request[:80],
    )


def _summary(state: Mission, titles: Titles) -> str:
    return (
        f"{_where(state, titles)} · {state.turns} turns · {state.spend.tokens} tokens · ${state.spend.usd:.2f}\n"
        f"Asked for: {state.request[:600]}{_interventions(state)}"
    )


def _interventions(state: Mission) -> str:
    """What the guards made the program do, in full, the newest last."""
    if not state.interventions:
        return ""
    rows = [
        f"- {record.guard}, {record.how}, turn {record.turn}: {record.line}\n  {record.detail[:500]}"
        for record in state.interventions
    ]
    return "\n".join([f"\n{len(rows)} intervention{'s' if len(rows) > 1 else ''}:", *rows[-6:]])


def _where(state: Mission, titles: Titles) -> str:
    if state.ended:
        return state.ended
    if state.parked:
        return f"parked: {state.parked_text}"
    return f"turn: {titles(state.turn.persona)}" if state.turn else "waiting"


def _criteria_rows(state: Mission) -> Rows:
    if not state.criteria:
        return ()
    rows = (
        (str(c.number), mark_of(state, c), c.text, f"“{c.quote}”" if c.quote else c.standard) for c in state.criteria
    )
    return (("no.", "state", "criterion", "from"), *rows)
