"""Which turns our router would have started on a recording, and what each model call would have been sent.

A recorded turn is what one agent did up to its next words. It is run when somebody had given that agent the turn: a human's
message, or a hand-off by owner field. Otherwise it is kept back. The recording decides the order in which turns end.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bot.agents.context import FRAME, STATE_SHARE, state_text, tokens_of
from bot.agents.persona import Persona
from bot.domain import log
from bot.domain.ids import EntryId, MissionId, PersonaName, Thread
from bot.domain.log import Entry, Logged
from bot.domain.state import Mission, Wake
from bot.guards.secret_leak import secrets_in, suspicious
from bot.mission import applied, goes_back_to, opened
from bot.policy.redaction import SHORTEST, SecretRedactor
from bot.policy.speech import cut
from bot.replay.recording import Line
from bot.replay.translation import AT, PERSON, mentioned, persona_of

SPOKEN = (log.MissionOpened, log.HumanSaid, log.HandedOff, log.Noted, log.QuestionAnswered, log.RequestAmended)


@dataclass(frozen=True, slots=True)
class Started:
    """One turn that our router would start. `why` says from what; `cause` is the entry behind it."""

    i: int
    persona: PersonaName
    why: str
    cause: EntryId


@dataclass(slots=True)
class Unit:
    """What one agent did since it last spoke."""

    lines: list[Line] = field(default_factory=list[Line])
    entries: list[log.ToolReturned] = field(default_factory=list[log.ToolReturned])
    size: int = 0  # tokens of its calls and results


@dataclass(slots=True)
class House:
    """Our mission log while the recording passes by."""

    personas: Mapping[PersonaName, Persona]
    state: Mission | None = None
    entries: list[Logged] = field(default_factory=list[Logged])
    started: list[Started] = field(default_factory=list[Started])
    kept_back: list[int] = field(default_factory=list[int])
    units: dict[PersonaName, Unit] = field(default_factory=dict[PersonaName, Unit])
    redactor: SecretRedactor = field(default_factory=SecretRedactor)
    learned: set[str] = field(default_factory=set[str], repr=False)
    secrets_shown: int = 0
    leaks_cut: int = 0
    prompt_tokens: int = 0
    largest_prompt: int = 0
    head: tuple[object, int] = ((), 0)
    seen_human: bool = False
    missions: int = 0
    number: int = 0

    def take(self, line: Line, translated: Sequence[Logged]) -> None:
        """One more recorded message, with its entries."""
        by = persona_of(line.sender)
        if line.kind == "human":
            self._human(line)
            return
        self.seen_human = False
        if line.kind == "system":
            if any(isinstance(one.entry, log.StopPressed) for one in translated):
                self._stopped()
            return
        unit = self.units.setdefault(by, Unit())
        unit.lines.append(line)
        for one in translated:
            if isinstance(one.entry, log.ToolReturned):
                self._learn(secrets_in(one.entry.result.text))
                if one.entry.result.changed:  # nothing else changes who is next
                    unit.entries.append(one.entry)
        if line.kind in {"call", "result", "error", "no_tool"}:
            unit.size += tokens_of(line.text) + tokens_of(FRAME)
        if line.kind in {"step", "speech", "call"}:
            self._asked(by, line)
        if line.kind in {"speech", "no_tool", "aborted"}:
            self._ended(by, self.units.pop(by), line)

    def _redacted(self, text: str) -> str:
        """As the redactor gives it; where nothing in it is suspicious or known, that is the text itself."""
        known = suspicious(text) or any(value in text for value in self.learned)
        return self.redactor.text(text) if known else text

    def _learn(self, values: Sequence[str]) -> None:
        """What a result showed stands for the secrets that our redactor knows from the settings."""
        whole = [value for value in values if len(value) >= SHORTEST and value not in self.learned]
        self.redactor.learn(*whole)
        self.learned.update(whole)

    def finish(self) -> None:
        """Turns that were never ended by words: started where somebody had given them, kept back elsewhere."""
        for by, unit in self.units.items():
            wake = self._wake(by)
            if self.state is None or wake is None:
                self.kept_back += [line.i for line in unit.lines]
            else:
                self._start(self.state, by, unit, wake)
                self._write(log.TurnEnded(self.state.turns, by, "stopped"))
        self.units.clear()

    def _human(self, line: Line) -> None:
        to = (*mentioned(line.text, PersonaName("")), PersonaName("architect"))[0]
        text = self._redacted(line.text)
        last = self.entries[-1].entry if self.entries else None
        if self.state is None or self.state.ended:
            self.missions += 1
            thread = Thread("recorded", "recorded", str(self.missions))
            mission = MissionId(str(self.missions))
            self.state = opened(
                self._logged(log.MissionOpened(mission, "recorded", "production", PERSON, thread, text, to))
            )
        elif self.seen_human and isinstance(last, log.HumanSaid) and last.to == to and self._unheard():
            self._joined(last, text)  # lines of one author in a row are one message (rule 4)
        else:
            self._write(log.HumanSaid(PERSON, text, to, str(line.n)))
        self.seen_human = True

    def _joined(self, last: log.HumanSaid, text: str) -> None:
        state = self.state
        if state is not None:
            wake = replace(state.wakes[-1], text=f"{last.text}\n{text}"[-20_000:])
            self.state = replace(state, wakes=(*state.wakes[:-1], wake))

    def _unheard(self) -> bool:
        return bool(self.state and self.state.wakes and self.state.wakes[-1].cause == "said")

    def _stopped(self) -> None:
        self.finish()
        if self.state is not None and not self.state.ended:
            self._write(log.StopPressed(PERSON), log.MissionEnded("stopped", "STOP"))

    def _asked(self, by: PersonaName, line: Line) -> None:
        """A model call: what our context would send at most. Every recorded call counts, also those we would not have made.

        The context is the state, whose text is built, and the exchange, which is cut to what is left of the bound.
        """
        unit, state = self.units[by], self.state
        if state is None or (line.kind != "step" and any(one.kind == "step" for one in unit.lines)):
            return
        persona = self.personas.get(by) or next(iter(self.personas.values()))
        prompt = tokens_of(persona.prompt)
        bound = persona.limits.context_tokens - prompt - persona.limits.answer_tokens // 4
        if self.head[0] != (state.id, state.ordinal, bound):
            self.head = ((state.id, state.ordinal, bound), tokens_of(state_text(state, int(bound * STATE_SHARE))))
        head = self.head[1]
        wake = next((one for one in state.wakes if one.persona == by), None)
        exchange = unit.size + (tokens_of(wake.text) if wake else 0)
        size = prompt + head + min(exchange, max(bound - head, bound // 4))
        self.prompt_tokens += size
        self.largest_prompt = max(self.largest_prompt, size)

    def _wake(self, by: PersonaName) -> Wake | None:
        if self.state is None or self.state.ended:
            return None
        return next((one for one in self.state.wakes if one.persona == by), None)

    def _ended(self, by: PersonaName, unit: Unit, line: Line) -> None:
        wake = self._wake(by)
        if self.state is None or wake is None:
            self.kept_back += [one.i for one in unit.lines]
        else:
            self._run(self.state, by, unit, wake, line)

    def _start(self, state: Mission, by: PersonaName, unit: Unit, wake: Wake) -> int:
        turn = state.turns + 1
        self.started.append(Started(unit.lines[0].i, by, f"{wake.cause}: {wake.text[:80]}", EntryId(wake.key)))
        self._write(log.TurnStarted(turn, by, wake.key))
        for entry in unit.entries:
            self._write(replace(entry, turn=turn))
        return turn

    def _run(self, state: Mission, by: PersonaName, unit: Unit, wake: Wake, line: Line) -> None:
        turn = self._start(state, by, unit, wake)
        said = cut(line.text) if line.kind == "speech" else cut("")
        self.leaks_cut += said.leaks
        shown = self._redacted(said.speech)
        self.secrets_shown += bool(secrets_in(said.speech) and secrets_in(shown))
        self.secrets_shown += any(value in shown for value in self.learned)
        to = next((name for name in mentioned(shown, by) if name != by), None)
        if to is not None:
            self._write(log.HandedOff(turn, by, to, shown, None, f"{to}|{shown[:400]}"))
            self._write(log.TurnEnded(turn, by, "handed_off", to))
        else:
            if shown:
                self._write(log.Spoke(turn, by, shown))
            self._write(log.TurnEnded(turn, by, "spoke"))
            giver = goes_back_to(self.state, by) if self.state else None
            if giver is not None:
                self._write(
                    log.Noted(giver, f"{by} ended its turn without hand_off. It said: {shown[:2000]}", "returned")
                )

    def _write(self, *entries: Entry) -> None:
        for entry in entries:
            assert self.state is not None
            self.state = applied(self.state, self._logged(entry))

    def _logged(self, entry: Entry) -> Logged:
        self.number += 1
        logged = Logged(EntryId(f"{self.number}-0"), AT, entry)
        self.entries.append(logged)
        return logged


def overlapping(entries: Sequence[Logged]) -> int:
    """Turns that began while another one was open, counted from the log alone."""
    open_, count = False, 0
    for one in entries:
        match one.entry:
            case log.TurnStarted():
                count += open_
                open_ = True
            case log.TurnEnded() | log.StopPressed() | log.MissionEnded():
                open_ = False
            case _:
                pass
    return count


def from_thoughts(entries: Sequence[Logged]) -> int:
    """Turns whose cause is no word of anybody, counted from the log alone."""
    kinds = {one.id: type(one.entry) for one in entries}
    causes = (one.entry.cause for one in entries if isinstance(one.entry, log.TurnStarted))
    return sum(kinds.get(EntryId(cause)) not in SPOKEN for cause in causes)


def recorded_tokens(lines: Sequence[Line]) -> Iterator[int]:
    """Prompt tokens of each model call of the recorded design, estimated: it sent the whole conversation with every call.

    Counted is what every agent got to see: messages and results, four characters a token. Left out, in its favour, are its
    system prompts, tool schemas, thoughts and the files it added to each context. A call is a "Thinking step" line; in
    the oldest recordings, which have none, each call and each message of an agent.
    """
    steps = any(line.kind == "step" for line in lines)
    size = 0
    for line in lines:
        if line.kind == "system" and ("cleared" in line.text or "wiped" in line.text):
            size = 0
        called = line.kind == "step" if steps else line.kind in {"call", "speech"}
        if called:
            yield size
        if line.kind in {"human", "speech", "result", "no_tool", "error"}:
            size += tokens_of(line.text)
