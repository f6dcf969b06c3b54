"""The mission's details, as the form behind its card shows them: what is asked, planned, shown and reviewed. Pure."""

from collections.abc import Iterator

from bot.cards import Titles
from bot.domain.state import Mission
from bot.mission import mark_of

SEEN = 300  # characters of a result's own words
STEPS_SHOWN, VERDICTS_SHOWN = 30, 5


def details_of(state: Mission, titles: Titles) -> str:
    """Plain text, a block for each part that has something in it."""
    blocks = (_criteria(state, titles), _plan(state, titles), _verdicts(state, titles), _waiting(state))
    return "\n\n".join("\n".join(block).strip() for block in map(list, blocks) if block)


def _criteria(state: Mission, titles: Titles) -> Iterator[str]:
    for criterion in state.criteria:
        source = f"“{criterion.quote}”" if criterion.quote else f"standard {criterion.standard}"
        yield f"\n{criterion.number} {criterion.text} · {mark_of(state, criterion)} · {source}"
        waiver, shown = state.waivers.get(criterion.number), state.evidence.get(criterion.number)
        if waiver is not None:
            yield f"   waived: {waiver.reason}"
        if shown is None:
            continue
        evidence = shown.evidence
        yield f"   {titles(evidence.by)}: {evidence.words}"
        if evidence.check:
            given = ", ".join(f"{name} {value}" for name, value in evidence.arguments.items())
            yield f"   probe: {evidence.tool} {given} · check: {evidence.check}"
        record = state.results.get(evidence.call)
        if record is not None:
            said = " / ".join(record.text.split("\n"))[:SEEN]
            yield f"   result {evidence.call}: {said}"


def _plan(state: Mission, titles: Titles) -> Iterator[str]:
    if state.steps:
        yield "Plan"
    for step in state.steps[:STEPS_SHOWN]:
        serves = ", ".join(map(str, step.serves))
        how = f" · checked by: {step.verify}" if step.verify else ""
        yield f"{step.number} {titles(step.owner)}: {step.title} · for {serves}{how}"


def _verdicts(state: Mission, titles: Titles) -> Iterator[str]:
    verdicts = list(state.verdicts.values())[-VERDICTS_SHOWN:]
    if verdicts:
        yield "Verdicts"
    for verdict in verdicts:
        how = "pass" if verdict.passed else "blocked"
        yield f"plan {verdict.revision[:12]}: {how} by {titles(verdict.by)}, checks: {', '.join(verdict.tools)}"
        for finding in verdict.findings:
            yield f"   {finding.fingerprint} {finding.severity} {finding.status}: {finding.rule} on {finding.resource}"


def _waiting(state: Mission) -> Iterator[str]:
    if state.requests:
        yield "Waiting for people"
    for request in state.requests.values():
        yield f"request {request.request[:4]}: {request.title}"
