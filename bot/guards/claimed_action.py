"""An agent says that it did something, and no call since it last spoke did anything."""

import re
from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.guarding import Detection
from bot.domain.ids import PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, OWN_WORDS, Found, Guard, seen

CLAIM = re.compile(
    r"\b(?:I|we)(?:'ve|’ve| have)?(?: just| already| now| also| successfully)? "
    r"(?:(ran|executed|started|stopped)|(saved|created|wrote|applied|deployed|installed|deleted|removed|restarted|rebooted|"
    r"configured|attached|uploaded|committed|pushed|provisioned|rotated|patched))\b(?! (?:by|to be)\b)",
    re.IGNORECASE,
)
# What an agent makes with its own words only: nothing runs for it.
OWN_OBJECT = re.compile(
    r".{0,30}?\b(?:created|wrote|saved|removed|patched)\b (?:\w+ ){0,3}"
    r"(?:plan|criteria|criterion|question|task|verdict|summary|report|steps?)\b",
    re.IGNORECASE,
)
EARLIER = re.compile(r"\bhave\b|['’]ve\b|\balready\b", re.IGNORECASE)
LOOKS = re.compile(r"(?:^|_)(?:read|list|show|state|output|probe|scan|validate|env)(?:_|$)")  # tools that make nothing


@dataclass(frozen=True, slots=True)
class Doings:
    """Who got a result since they last spoke, and who got one of a tool that can make something."""

    did: frozenset[PersonaName] = frozenset()
    made: frozenset[PersonaName] = frozenset()
    ever: frozenset[PersonaName] = frozenset()  # who made anything in this mission
    whole: bool = False  # the log is seen from its beginning: what was done before it cannot be known


def step(state: Doings, logged: Logged) -> tuple[Doings, Found]:
    match logged.entry:
        case log.MissionOpened():
            return replace(state, whole=True), NOTHING
        case log.ToolReturned(persona=by, result=result):
            if result.tool in OWN_WORDS or result.status in {"refused", "denied", "held"}:
                return state, NOTHING
            makes = frozenset[PersonaName]() if LOOKS.search(result.tool) else frozenset({by})
            return replace(state, did=state.did | {by}, made=state.made | makes, ever=state.ever | makes), NOTHING
        case log.Spoke(_, by, text):
            claim = _claim(seen(text), did=by in state.did, made=by in state.made, ever=by in state.ever)
            state = replace(state, did=state.did - {by}, made=state.made - {by})
            if claim is None or not state.whole:
                return state, NOTHING
            said = f"{by} said that it {(claim[1] or claim[2]).lower()} something, without a call that did"
            return state, (Detection("claimed_action", by, by, logged.id, logged.id, said, (claim[0],)),)
        case _:
            return state, NOTHING


def _claim(text: str, *, did: bool, made: bool, ever: bool) -> re.Match[str] | None:
    """The first claim that no call stands behind. "I have saved it" may speak of an earlier turn, "I saved it" does not."""
    if did and made:
        return None
    for found in CLAIM.finditer(text):
        if OWN_OBJECT.match(text, found.start()):
            continue
        stands = did if found[1] else made or (ever and EARLIER.search(found[0]) is not None)
        if not stands:
            return found
    return None


GUARD = Guard("claimed_action", (log.MissionOpened, log.ToolReturned, log.Spoke), Doings(), step)
