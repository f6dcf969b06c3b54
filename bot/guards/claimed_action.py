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
    r"(saved|created|ran|executed|applied|deployed|installed|deleted|removed|restarted|rebooted|configured|attached|"
    r"uploaded|committed|pushed|provisioned|rotated|patched|started|stopped)\b(?! (?:by|to be)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Doings:
    """Who got a result since they last spoke."""

    did: frozenset[PersonaName] = frozenset()


def step(state: Doings, logged: Logged) -> tuple[Doings, Found]:
    match logged.entry:
        case log.ToolReturned(persona=by, result=result):
            counts = result.tool not in OWN_WORDS and result.status not in {"refused", "denied", "held"}
            return (replace(state, did=state.did | {by}) if counts else state), NOTHING
        case log.Spoke(_, by, text):
            claim = None if by in state.did else CLAIM.search(seen(text))
            state = replace(state, did=state.did - {by})
            if claim is None:
                return state, NOTHING
            said = f"{by} said it {claim[1].lower()} something, without a call that did"
            return state, (Detection("claimed_action", by, by, logged.id, logged.id, said, (claim[0],)),)
        case _:
            return state, NOTHING


GUARD = Guard("claimed_action", (log.ToolReturned, log.Spoke), Doings(), step)
