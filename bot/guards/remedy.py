"""From a detection to what is done about it: the rung that is next for this cause, its words, and the entries it takes."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain import log
from bot.domain.guarding import (
    HOWS,
    DecidedByRule,
    Detection,
    GuardName,
    HumanAsked,
    Intervention,
    MissionParked,
    OwnerChanged,
    StepRefused,
    Told,
)
from bot.domain.ids import PersonaName, QuestionId
from bot.domain.state import Mission
from bot.guards.ladder import BUDGETS, LADDERS, Rung

ARCHITECT, BUILDER = PersonaName("architect"), PersonaName("builder")
ANSWER_MINUTES = 10
OPTIONS = ("leave it and go on with the rest", "try another way")
NOTES: Mapping[GuardName, str] = {
    "approval_loop": "This revision has its verdict: pass. It needs no second one. Go on with it.",
    "bare_approval": "A verdict needs checks that were run on exactly this revision: run scan, then record_verdict with its id.",
    "claimed_action": "No call of yours did that. Make the call, or say what you will do and hand the turn on.",
    "claimed_done": "Only QA's evidence ends a mission. Have the open criteria probed and recorded; a person may waive one.",
    "escalation_cascade": "The same order brings the same error. Change what causes it, or the plan; do not send it again.",
    "goal_drift": "Read the request and the criteria again. The next step has to serve an open one; say which.",
    "hallucinated_tool": "Only the tools you are given exist, and only calls do anything. Use one of them, or say what is missing.",
    "laundered_approval": "The reviewer's last verdict is a block. Mend its findings and have the new revision reviewed.",
    "no_progress": "Nothing changed for several turns. Decide the next step that changes something, or ask_human with a default.",
    "option_menu": "People are not asked that way. Decide it yourself, or call ask_human with at most three options and a default.",
    "ping_pong": "You two handed this back and forth. Decide who does what, do it, or ask_human with a default.",
    "plan_bloat": "The plan is too long to be followed. Keep the steps that serve open criteria, at most twelve.",
    "rate_limit_broadcast": "That was a provider's error and not for people. Go on with the task.",
    "repeated_tool_error": "The same error came three times. Find its cause before anything is tried again.",
    "secret_leak": "That held something that looks like a secret. Say it without the value; names are enough.",
    "stop_loop": "The same findings block again. Mend them in the files and plan anew; only a person can accept a risk.",
    "string_vs_list": "key=value hands over a string, whatever it looks like. Give lists as JSON with their types.",
    "think_leak": "Keep reasoning out of your answers. What others should know, say plainly.",
    "wrong_provider": "The provider is bpg/proxmox: source and name have to be exactly that.",
}


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to write: the intervention, and the question or the park that comes with it."""

    action: Intervention
    line: str
    more: tuple[log.Entry, ...] = ()


def next_rung(state: Mission, detection: Detection) -> Rung:
    """The weakest rung that this cause has not had, and that this mission can still afford. Never weaker than before."""
    ladder = LADDERS[detection.guard]
    had = [r.how for r in state.interventions if r.guard == detection.guard and r.cause == detection.cause]
    used = max((HOWS.index(how) for how in had), default=-1)
    for rung in ladder:
        spent = sum(record.how == rung.how for record in state.interventions)
        if HOWS.index(rung.how) <= used or spent >= BUDGETS.get(rung, spent + 1):
            continue
        if rung is Rung.MOVE and detection.persona == ARCHITECT:
            continue  # there is nobody above it but people
        if rung is Rung.ASK and state.questions:
            continue  # one question at a time
        return rung
    return Rung.PARK


def remedy(state: Mission, detection: Detection, now: datetime, titles: Callable[[str], str]) -> Remedy:
    """What is done about `detection` now."""
    note = note_of(detection)
    said, who = sentence(detection, titles), titles(detection.persona)
    match next_rung(state, detection):
        case Rung.TELL:
            return Remedy(Told(note), f"{said}. {who} was told.")
        case Rung.REFUSE:
            return Remedy(StepRefused(note), f"{said}. It was not posted, and {who} was told why.")
        case Rung.MOVE:
            return Remedy(OwnerChanged(ARCHITECT, note), f"{said}. {titles(ARCHITECT)} takes over with the attempts.")
        case Rung.DECIDE:
            decided = decision(detection, note)
            return Remedy(decided, f"{said}. By rule: {decided.rule}.")
        case Rung.ASK:
            return _asked(state, detection, now, said)
        case Rung.PARK:
            text = f"{said}. The mission is parked: say how to go on."
            return Remedy(MissionParked(text), text, (log.Parked("guard", text),))


def decision(detection: Detection, note: str) -> DecidedByRule:
    """What the rules say where agents do not decide. No rule approves a change, widens the contract or accepts a finding."""
    match detection.guard:
        case "option_menu":
            first = detection.facts[0] if detection.facts else "the first"
            what = f"The first of your options counts: {first}. Go on with it. {note}"
            return DecidedByRule(f"the first option counts ({first})", detection.persona, what)
        case "approval_loop":
            return DecidedByRule("the stored verdict stands", BUILDER, note)
        case "stop_loop":
            return DecidedByRule("open findings are mended before the next review", BUILDER, note)
        case _:
            return DecidedByRule(f"{ARCHITECT} decides", ARCHITECT, note)


def note_of(detection: Detection) -> str:
    """What an agent hears: what was seen, what to do instead, and the attempts."""
    facts = "".join(f"\n- {fact}" for fact in detection.facts)
    return f"Note of the program ({detection.guard}): {detection.text}. {NOTES[detection.guard]}{facts}"


def sentence(detection: Detection, titles: Callable[[str], str]) -> str:
    """The detection for people, with titles for names, in one line."""
    text = " ".join(detection.text.split()).rstrip(".")
    first, _, rest = text.partition(" ")
    both = text.split(" ", 3)  # "builder and qa handed …"
    if len(both) == 4 and both[1] == "and" and f"{both[0]}+{both[2]}" == detection.cause:
        text = f"{titles(both[0])} and {titles(both[2])} {both[3]}"
    elif first == detection.persona:
        text = f"{titles(first)} {rest}"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _asked(state: Mission, detection: Detection, now: datetime, said: str) -> Remedy:
    seed = f"{state.id}|{detection.guard}|{detection.cause}|{state.ordinal}"
    question = QuestionId(hashlib.sha256(seed.encode()).hexdigest()[:12])
    deadline = now + timedelta(minutes=ANSWER_MINUTES)
    asked = log.Asked(question, ARCHITECT, f"{said}. How should the crew go on?", OPTIONS, 0, deadline)
    return Remedy(HumanAsked(question), f"{said}. One question about it follows.", (asked,))
