"""Scenario files: who says and clicks what, what the model and the tools answer, and what people then see.

A file is a conversation. Each step is done, then everything comes to rest (unless it says `busy`), then its `expect` is
looked at. Lines are what a person would read in the thread, one per post, in order; expectations are patterns on them.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from bot.domain import log
from bot.domain.calls import ResultStatus
from bot.domain.ids import Json, QuestionId, RequestId, UserId
from bot.domain.inbound import (
    AnswerGiven,
    Commanded,
    ExtendAsked,
    GrantRevoked,
    ModalAsked,
    Reply,
    Ruled,
    Said,
    StopAsked,
    VoteCast,
)
from bot.domain.model import ModelReply, ModelRequest, ModelUnavailableError, ProposedCall, StopReason, Usage
from bot.domain.posts import (
    ApprovalCard,
    File,
    Home,
    MissionCard,
    Modal,
    Notice,
    Post,
    Private,
    Progress,
    QuestionCard,
    Report,
    Speech,
)
from bot.mission import mark_of
from bot.store.store import Store
from tests.crew_house import THREAD, USERS, CrewHouse, Play, filled, title

HERE = Path(__file__).resolve().parent / "scenarios"
NAMES = {user: name for name, user in USERS.items()}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(Strict):
    """One answer of the model. `use` stands for a list of presets.yaml; `hears` is what it must have been told last."""

    use: str = ""
    says: str = ""
    thought: str = ""
    calls: list[dict[str, dict[str, Any]]] = []
    stop: StopReason = "end"
    unavailable: str = ""
    waits: str = ""
    hears: str = ""
    usd: float = 0.01


class ToolPlay(Strict):
    status: ResultStatus = "ok"
    text: str = ""
    facts: dict[str, Any] = {}
    waits: str = ""
    until_stopped: int = 0


class Expect(Strict):
    """`posts`: patterns that the lines since the last `expect` match in this order; `not`: that none of them matches."""

    posts: list[str] = []
    never: list[str] = Field([], alias="not")
    ran: dict[str, int] = {}
    marks: list[str] | None = None
    ended: str | None = None
    parked: str | None = None
    turns: list[str] | None = None
    card: str = ""
    audit: list[str] = []
    asked: dict[str, int] = {}
    heard: list[str] | None = None  # texts of people in the mission's log
    request: str | None = None


class Step(Strict):
    """One thing that somebody does. `by` is a name of people; `thread` "new" begins another thread."""

    say: str | None = None
    click: Literal["approve", "approve_grant", "deny", "narrow"] | None = None
    form: Literal["deny", "approve_typed", "narrow", "details", "answer", "amend"] | None = None
    amend: str | None = None  # words sent with the form behind "Edit criteria"
    answer: str | int | None = None
    listed: bool = False  # pressed in the list of /approvals, in another channel, not on the card
    press: Literal["stop", "clear", "extend", "revoke"] | None = None
    command: str | None = None
    later: float | None = None  # seconds
    let: str | None = None  # what waits may go on
    until: str | None = None  # what waits has been reached
    policy: Literal["state moved", "bo leaves"] | None = None
    together: "list[Step]" = []
    by: str = "ana"
    to: list[str] | None = None
    reason: str = ""
    typed: str = ""
    text: str = ""
    edited: bool = False
    line: bool = False  # one more line of the first message, written right after it, outside the thread
    again: int = 1  # the same thing so many times at once
    busy: bool = False
    expect: Expect | None = None


class Scenario(Strict):
    about: Annotated[str, Field(min_length=20)]
    rules: list[int] = []
    environment: str = "production"
    steps_most: int = 300
    destroys: bool = False
    names: list[str] = ["cp1"]  # what a plan makes
    sensitive: list[str] = []  # tools whose reads show a secret
    findings: list[dict[str, str]] = []
    model: dict[Literal["architect", "builder", "sentinel", "qa"], list[Answer]] = {}
    tools: dict[str, list[ToolPlay]] = {}
    steps: list[Step]
    interventions: list[str] = []  # "<guard> <how>", in order; nothing else may have been done about anybody


def scenarios() -> list[Path]:
    return [path for path in sorted(HERE.glob("*.yaml")) if path.stem != "presets"]


def read(path: Path) -> Scenario:
    scenario = Scenario.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    presets: dict[str, list[Any]] = yaml.safe_load((HERE / "presets.yaml").read_text(encoding="utf-8"))
    model = {
        persona: [one for given in answers for one in _expanded(given, presets)]
        for persona, answers in scenario.model.items()
    }
    return scenario.model_copy(update={"model": model})


def _expanded(given: Answer, presets: dict[str, list[Any]]) -> Iterator[Answer]:
    if given.use:
        yield from (Answer.model_validate(one) for one in presets[given.use])
    else:
        yield given


class Player:
    """Plays one scenario in a house of its own."""

    def __init__(self, scenario: Scenario, store: Store, folder: Path) -> None:
        self.scenario = scenario
        self.left = {persona: list(answers) for persona, answers in scenario.model.items()}
        self.house = CrewHouse(store, folder, self._answered)
        self.house.environment = scenario.environment
        self.house.steps_most = scenario.steps_most
        self.house.destroys = scenario.destroys
        self.house.names = tuple(scenario.names)
        self.house.sensitive = frozenset(scenario.sensitive)
        self.house.findings = [dict(finding) for finding in scenario.findings]
        for name, plays in scenario.tools.items():
            self.house.tools[name].plays = [
                Play(p.status, p.text, p.facts, p.waits, p.until_stopped) for p in plays
            ]  # fmt: skip
        self.seen = 0
        self.clicks = 0
        self.said = 0
        self.looks = 0

    async def play(self) -> None:
        async with self.house.work():
            for number, step in enumerate(self.scenario.steps, 1):
                try:
                    await self.take(step)
                except AssertionError as error:
                    raise AssertionError(
                        f"step {number} ({step.model_dump(exclude_defaults=True)}):\n{error}"
                    ) from error
        left = {persona: answers for persona, answers in self.left.items() if answers}
        assert not left, f"answers of the model that nobody asked for: {left}"
        assert not self.house.model.wrong, self.house.model.wrong
        await self.rule_1()
        await self.health()

    async def health(self) -> None:
        """What the guards made the program do, no more and no less; at most one line of it in each turn."""
        if not await self.house.store.journal.missions(running=False):
            return
        entries = [one.entry for one in await self.house.store.journal.read(await self.house.mission_id())]
        done = [entry for entry in entries if isinstance(entry, log.Intervened)]
        told = [f"{entry.detection.guard} {entry.action.how}" for entry in done]
        assert told == self.scenario.interventions, f"interventions: {told}: {[e.line for e in done]}"
        lines = [post.key for post in self.house.shown if post.key.startswith("guard:")]
        turns = [key.split(":")[2] for key in lines]
        parked = sum(entry.action.how == "parked" for entry in done)
        assert len(turns) <= len(set(turns)) + parked, f"more than one line in a turn: {lines}"

    async def rule_1(self) -> None:
        """Whatever happened: turns do not overlap, and a turn's agent is the only one that spoke in it."""
        if not await self.house.store.journal.missions(running=False):
            return
        assert self.house.model.most <= 1, "two agents thought at the same time"
        speaker = ""
        for logged in await self.house.store.journal.read(await self.house.mission_id()):
            match logged.entry:
                case log.TurnStarted(_, persona, _):
                    assert not speaker, f"{persona}'s turn began in {speaker}'s"
                    speaker = persona
                case log.TurnEnded() | log.StopPressed():
                    speaker = ""
                case log.Spoke(_, persona, _) | log.ModelReplied(_, persona):
                    assert persona == speaker, f"{persona} acted in {speaker or 'nobody'}'s turn"
                case _:
                    pass

    # the model ----------------------------------------------------------------------------------------------------

    async def _answered(self, persona: str, request: ModelRequest) -> ModelReply:
        answers = self.left.get(persona, [])  # type: ignore[call-overload]
        last = request.messages[-1].text
        assert answers, f"asked once too often; it was told: {last[:300]}"
        given = answers.pop(0)
        assert re.search(given.hears, last, re.DOTALL), f"should have heard {given.hears!r}, was told: {last[:600]}"
        await self.house.gates.wait(given.waits)
        if given.unavailable:
            raise ModelUnavailableError(given.unavailable)
        calls: list[ProposedCall] = []
        for call in given.calls:
            for tool, arguments in call.items():
                shown = filled(arguments, request)
                assert isinstance(shown, dict)
                calls.append(ProposedCall(f"provider-{tool}", tool, shown))
        stop: StopReason = "calls" if calls else given.stop
        return ModelReply("played", given.thought, given.says, tuple(calls), stop, Usage(1000, 50), given.usd)

    # people -------------------------------------------------------------------------------------------------------

    async def take(self, step: Step) -> None:
        if step.together:
            await asyncio.gather(*(self.act(one) for one in step.together for _ in range(one.again)))
        else:
            await asyncio.gather(*(self.act(step) for _ in range(step.again)))
        if step.until:
            async with asyncio.timeout(10):
                while step.until not in self.house.gates.reached:
                    await asyncio.sleep(0.01)
        if step.busy:
            await self.soon(step.expect.posts if step.expect else [])
        else:
            await self.house.quiet()
        assert not self.house.model.wrong, self.house.model.wrong
        if step.expect is not None:
            await self.look(step.expect)

    async def act(self, step: Step) -> None:
        inbox, user = self.house.store.inbox, USERS[step.by]
        if step.say is not None:
            await self.say(step, user)
        if step.click is not None:
            ballot = "deny" if step.click in {"deny", "narrow"} else "approve"
            again, less = step.click == "approve_grant", tuple(step.text.split())
            reply = self.reply(user)
            reply = replace(reply, channel="C9", thread_ts="", ephemeral=True) if step.listed else reply
            cast = VoteCast(self.request(), ballot, step.reason, step.typed, reply, again, less)
            await inbox.put_immediate(cast, once=f"click {self.clicks}")
        if step.form is not None:
            subject = await self.subject_of(step.form)
            await inbox.put_immediate(ModalAsked(step.form, subject, self.reply(user)), once=f"form {self.clicks}")
        if step.answer is not None:
            option = step.answer if isinstance(step.answer, int) else None
            words = step.answer if isinstance(step.answer, str) else ""
            await inbox.put(THREAD.lane, AnswerGiven(QuestionId(self.question()), words, option, self.reply(user)))
        if step.amend is not None:
            mission = await self.house.mission_id()
            await inbox.put(THREAD.lane, Ruled("amend", mission, step.amend, self.reply(user)))
        if step.press == "extend":
            await inbox.put(THREAD.lane, ExtendAsked(await self.house.mission_id(), self.reply(user)))
        elif step.press == "revoke":
            await inbox.put_immediate(GrantRevoked(self.grant(), self.reply(user)), once=f"revoke {self.clicks}")
        elif step.press is not None:
            asked = StopAsked(THREAD, user, self.reply(user), clear=step.press == "clear")
            await inbox.put_immediate(asked, once=f"stop {self.clicks}")
        if step.command is not None:
            stand = await self.house.store.deputies.all()
            words = step.text.replace("{deputy}", stand[0].id if stand else "none")
            commanded = Commanded(step.command, words, self.reply(user), THREAD)
            await inbox.put_immediate(commanded, once=f"command {self.clicks}")
        if step.later is not None:
            await self.house.later(step.later)
        if step.let is not None:
            self.house.gates.event(step.let).set()
        if step.policy == "state moved":
            self.house.serial += 1
        elif step.policy == "bo leaves":
            del self.house.people.humans[USERS["bo"]]

    async def say(self, step: Step, user: UserId) -> None:
        text = step.say or ""
        mentioned = tuple(name.lower() for name in re.findall(r"@(Architect|Builder|Sentinel|QA)\b", text))
        self.said += 1
        ts = THREAD.ts if step.edited or self.said == 1 else f"1700000{self.said:03d}.000100"
        if step.line:
            ts = f"1700000000.{self.said * 20_000 + 100:06d}"
        thread = replace(THREAD, ts=ts) if step.line else THREAD
        to = tuple(step.to) if step.to is not None else mentioned
        said = Said(thread, ts, user, text, to, in_thread=thread.ts != ts,
                    edited_at=f"1700001{self.said:03d}.000100" if step.edited else "")  # fmt: skip
        await self.house.store.inbox.put_said(said, delay_s=0.1)

    def reply(self, user: UserId) -> Reply:
        self.clicks += 1
        return Reply(THREAD.team, THREAD.channel, THREAD.ts, user, f"trigger-{self.clicks}", "A1", "1.0")

    def request(self) -> RequestId:
        cards = [post.body for post in self.house.shown if isinstance(post.body, ApprovalCard)]
        assert cards, "no approval card is shown"
        latest = [post.body for post in self.house.latest.values() if isinstance(post.body, ApprovalCard)]
        still_open = [card for card in latest if not card.outcome]
        return (still_open or cards)[-1].request

    def grant(self) -> RequestId:
        cards = [post.body for post in self.house.shown if isinstance(post.body, MissionCard) and post.body.grants]
        assert cards, "no card shows a grant"
        return cards[-1].grants[-1].grant

    async def subject_of(self, form: str) -> str:
        if form == "amend":
            return await self.house.mission_id()
        return self.question() if form == "answer" else self.request()

    def question(self) -> str:
        cards = [post.body for post in self.house.shown if isinstance(post.body, QuestionCard)]
        assert cards, "no question is shown"
        return cards[-1].question

    async def soon(self, patterns: list[str]) -> None:
        """While something runs nothing comes to rest: until it is seen what a busy step expects, or clearly is not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(0.05)
                await self.house.pump()
                while not self.seen_in_order(patterns, [line_of(post) for post in self.house.shown][self.seen :]):
                    await asyncio.sleep(0.02)
                    await self.house.pump()

    # what is to be seen -------------------------------------------------------------------------------------------

    async def look(self, expect: Expect) -> None:
        self.looks += 1
        lines = [line_of(post) for post in self.house.shown]
        new, self.seen = lines[self.seen :], len(lines)
        self.in_order(expect.posts, new)
        for pattern in expect.never:
            found = [line for line in new if re.search(pattern, line, re.DOTALL)]
            assert not found, f"nobody should have seen {found}"
        for tool, times in expect.ran.items():
            assert self.house.tools[tool].ran == times, f"{tool} ran {self.house.tools[tool].ran} times"
        for persona, times in expect.asked.items():
            assert self.house.model.asked.count(persona) == times, f"{persona}: {self.house.model.asked.count(persona)}"
        if expect.card:
            card = line_of(self.house.latest[f"card:{await self.house.mission_id()}"])
            assert re.search(expect.card, card, re.DOTALL), f"the card says: {card}"
        if expect.audit:
            kinds = [event.kind for _, _, event in await self.house.store.audit.read()]
            self.in_order(expect.audit, kinds)
        await self.look_at_mission(expect)

    async def look_at_mission(self, expect: Expect) -> None:
        if not await self.house.store.journal.missions(running=False):
            assert (expect.ended, expect.parked, expect.turns, expect.heard) == (None, None, None, None), "no mission"
            return
        state = await self.house.mission()
        entries = [one.entry for one in await self.house.store.journal.read(state.id)]
        found: dict[str, Json] = {
            "marks": [mark_of(state, criterion) for criterion in state.criteria],
            "ended": state.ended,
            "parked": state.parked,
            "turns": [entry.persona for entry in entries if isinstance(entry, log.TurnStarted)],
            "heard": [entry.text for entry in entries if isinstance(entry, log.HumanSaid)],
            "request": state.request,
        }
        for name, value in found.items():
            wanted = getattr(expect, name)
            assert wanted is None or wanted == value, f"{name} should be {wanted}, is {value}"
        assert await self.house.store.journal.verify(state.id) is None, "the log's hashes hold"

    def seen_in_order(self, patterns: list[str], lines: list[str]) -> bool:
        rest = iter(lines)
        return all(any(re.search(pattern, line, re.DOTALL) for line in rest) for pattern in patterns)

    def in_order(self, patterns: list[str], lines: list[str]) -> None:
        rest = iter(lines)
        for pattern in patterns:
            shown = "\n  ".join(lines)
            assert any(re.search(pattern, line, re.DOTALL) for line in rest), (
                f"nobody saw {pattern!r} in its place. Seen:\n  {shown}"
            )


def called(user: str) -> str:
    return NAMES.get(UserId(user), user)


def line_of(post: Post) -> str:
    """One line that says what a person would read."""
    match post.body:
        case Speech(text, to, task):
            return f"{post.identity}: {text}" + (f" → {to}: {task}" if to else "")
        case QuestionCard():
            body = post.body
            by = called(body.answered_by) or "nobody"
            end = f"answered {body.answer} by {by}" if body.answer else f"default {body.options[body.default]}"
            return f"question of {body.asker}: {body.text} · {'/'.join(body.options)} · {end}"
        case ApprovalCard():
            body = post.body
            voters = ", ".join(called(user) for user in body.voters)
            who = ", ".join(called(user) for user in body.who_may)
            may = "granted " * bool(body.grant_s) + "narrowed " * body.narrow
            state = body.outcome or (f"may be {may}· " if may else "") + f"waits for {who}"
            return f"approval: {body.title} · {body.cls} · {body.environment} · {body.votes}/{body.quorum} {voters} · {state}"
        case MissionCard():
            marks = " ".join(line.mark for line in post.body.criteria)
            buttons = " ".join(post.body.buttons)
            held = "".join(f" · grant {one.title} by {called(one.by[0])}" for one in post.body.grants)
            held += f" · FROZEN {post.body.frozen}" if post.body.frozen else ""
            return (
                f"card: {post.body.state} · {marks} · ${post.body.spent_usd:.2f} · {post.body.note}{held} [{buttons}]"
            )
        case Notice(text, detail, button):
            named = ", ".join(called(user) for user in post.body.mention)
            return f"notice: {text}{named} {detail}" + (f" [{button}]" if button else "")
        case Report():
            by = ", ".join(f"{called(user)} {count}" for user, count in post.body.approvals)
            head = f" · head {post.body.audit_head}" if post.body.audit_head else ""
            head += f" · marks {'; '.join(post.body.marks)}" if post.body.marks else ""
            return f"report: {post.body.outcome} · exists {', '.join(post.body.exists)} · approvals {by} · not covered {'; '.join(post.body.not_covered)}{head}"
        case Private(user, text, rows, _, cards):
            text += "".join(f" | {card.title} [approve]" for card in cards)
            table = "".join(f" | {' · '.join(row)}" for row in rows)
            return f"only {called(user)}: {text}{table}"
        case Progress(parts):
            return f"progress of {title(post.identity)}: {' · '.join(parts)}"
        case Modal(_, action):
            return f"form: {action} · {post.body.title} · {post.body.text}"
        case Home(user, note, text):
            return f"home of {called(user)}: {note} {text}"
        case File():
            return f"file: {post.body.title}"
