"""The reviewer blocks on the same demand again: twice with nothing done in between, or a third time whatever was done."""

from dataclasses import dataclass, replace

from bot.domain import log
from bot.domain.contract import Verdict
from bot.domain.guarding import Detection
from bot.domain.ids import EntryId, PersonaName
from bot.domain.log import Logged
from bot.guards.guard import NOTHING, Found, Guard, acted

BLOCKS = 3  # whatever was done between them
BLOCKS_IDLE = 2  # with nothing done between them


@dataclass(frozen=True, slots=True)
class Chain:
    """Blocks in a row that share a finding. `demand` is what they all share."""

    by: PersonaName = PersonaName("")
    demand: frozenset[str] = frozenset()
    blocks: tuple[EntryId, ...] = ()
    cause: str = ""
    acted: bool = False


def step(chain: Chain, logged: Logged) -> tuple[Chain, Found]:
    entry = logged.entry
    match entry:
        case log.VerdictRecorded(verdict) if verdict.passed:
            return (Chain() if verdict.by == chain.by else chain), NOTHING
        case log.VerdictRecorded(verdict):
            return _blocked(chain, verdict, logged.id)
        case log.StopPressed():
            return Chain(), NOTHING
        case log.FindingAccepted(fingerprint):
            return replace(chain, demand=chain.demand - {fingerprint}), NOTHING
        case _ if chain.blocks and acted(entry):
            return replace(chain, acted=True), NOTHING
        case _:
            return chain, NOTHING


def _blocked(chain: Chain, verdict: Verdict, at: EntryId) -> tuple[Chain, Found]:
    open_ = frozenset(finding.fingerprint for finding in verdict.findings if finding.status == "open")
    demand = frozenset(verdict.blocking) or open_  # a record of before says only what is open
    shared = demand & chain.demand
    if not shared or verdict.by != chain.by:
        return Chain(verdict.by, demand, (at,), f"{min(demand, default='')}@{at}"), NOTHING
    idle = not chain.acted
    chain = Chain(verdict.by, shared, (*chain.blocks, at)[-20:], chain.cause)
    if len(chain.blocks) < (BLOCKS_IDLE if idle else BLOCKS):
        return chain, NOTHING
    named = [f for f in verdict.findings if f.fingerprint in shared]
    facts = tuple(f"{f.rule} on {f.resource}: {f.text[:160]}" for f in named[:5])
    what = f"{named[0].rule} on {named[0].resource}" if named else "the same demand"
    text = f"{verdict.by} blocked {len(chain.blocks)} times for {what}"
    return chain, (Detection("stop_loop", chain.cause, verdict.by, at, at, text, facts),)


GUARD = Guard(
    "stop_loop",
    (log.VerdictRecorded, log.StopPressed, log.FindingAccepted, log.ToolReturned, log.Planned),
    Chain(),
    step,
)
