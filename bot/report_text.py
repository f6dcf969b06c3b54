"""report.md: a mission for whoever was not there. Everything is from its log; what an agent said is marked as its words."""

from collections.abc import Iterator, Sequence

from bot.cards import Titles
from bot.domain.posts import Report
from bot.domain.state import Built, CallRecord, Mission, Shown
from bot.mission import mark_of

RESULT_SHOWN = 4_000  # characters of what a probe saw


def report_text(state: Mission, report: Report, titles: Titles) -> str:
    """GitHub-flavoured Markdown."""
    parts = (
        _head(state, report),
        _criteria(state),
        _evidence(state, titles),
        _machines(state),
        _listed("What exists", state.applied),
        _plan(state, titles),
        _reviews(state, titles),
        _listed("Not covered", report.not_covered),
        _again(state, report),
    )
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part) + "\n"


def machines_of(state: Mission) -> tuple[Built, ...]:
    """Every machine that stands, by its name."""
    return tuple(sorted((one for root in state.roots.values() for one in root.machines), key=lambda one: one.name))


def _head(state: Mission, report: Report) -> Iterator[str]:
    yield f"# Mission {state.id}: {report.outcome}"
    yield ""
    yield from (f"> {line}" for line in state.request.splitlines())
    for _, words in state.amendments:
        yield ">"
        yield from (f"> later: {line}" for line in words.splitlines())
    yield ""
    approved = sum(count for _, count in report.approvals)
    yield (
        f"Environment {state.environment} · opened {state.opened_at:%Y-%m-%d %H:%M} UTC · {report.seconds} s, of which "
        f"{report.waiting_seconds} s waiting for people · {approved} approvals · ${report.cost_usd:.2f}, "
        f"{report.tokens} tokens"
    )
    yield f"{state.created} created, {state.changed} changed, {state.destroyed} destroyed"


def _criteria(state: Mission) -> Iterator[str]:
    if not state.criteria:
        return
    yield "## Criteria"
    yield ""
    yield "| | criterion | from | shown |"
    yield "|---|---|---|---|"
    for criterion in state.criteria:
        source = f"“{criterion.quote}”" if criterion.quote else f"standard {criterion.standard}"
        cells = (str(criterion.number), criterion.text, source, mark_of(state, criterion))
        yield f"| {' | '.join(map(_cell, cells))} |"


def _evidence(state: Mission, titles: Titles) -> Iterator[str]:
    if not (state.evidence or state.waivers):
        return
    yield "## Evidence"
    for criterion in state.criteria:
        waiver, shown = state.waivers.get(criterion.number), state.evidence.get(criterion.number)
        if waiver is not None:
            yield f"\n**{criterion.number}** waived: {waiver.reason}"
        elif shown is not None:
            yield from _proof(criterion.number, shown, state.results.get(shown.evidence.call), titles)


def _proof(number: int, shown: Shown, record: CallRecord | None, titles: Titles) -> Iterator[str]:
    evidence = shown.evidence
    yield f"\n**{number}** {evidence.outcome}. {titles(evidence.by)}'s words: {evidence.words}"
    if evidence.tool:
        given = ", ".join(f"{name} {value}" for name, value in evidence.arguments.items())
        yield f"Probe: `{evidence.tool}` {given}" + (
            f", true of what it saw: `{evidence.check}`" if evidence.check else ""
        )
    if record is not None:
        yield ""
        yield from _fenced(record.text)


def _machines(state: Mission) -> Iterator[str]:
    machines = machines_of(state)
    if not machines:
        return
    yield "## Machines"
    yield ""
    yield "| name | node | address | VM |"
    yield "|---|---|---|---|"
    for machine in machines:
        cells = (machine.name, machine.node, machine.address, str(machine.vmid or ""))
        yield f"| {' | '.join(map(_cell, cells))} |"


def _plan(state: Mission, titles: Titles) -> Iterator[str]:
    if state.steps:
        yield "## Plan"
        yield ""
    for step in state.steps:
        how = f" Checked by: {step.verify}." if step.verify else ""
        yield f"{step.number}. {titles(step.owner)}: {step.title}.{how}"


def _reviews(state: Mission, titles: Titles) -> Iterator[str]:
    if state.verdicts:
        yield "## Reviews"
        yield ""
    for verdict in state.verdicts.values():
        how = "pass" if verdict.passed else "blocked"
        yield f"- {verdict.revision[:12]}: {how} by {titles(verdict.by)} with {', '.join(verdict.tools) or 'no checks'}"
        for finding in verdict.findings:
            yield f"  - {finding.severity}, {finding.status}: {finding.rule} on {finding.resource}"


def _listed(title: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield f"## {title}"
        yield ""
    for item in items:
        yield f"- {item}"


def _again(state: Mission, report: Report) -> Iterator[str]:
    yield "## Again"
    yield ""
    yield f"- `/mission verify {state.id}` runs every probe again and says what no longer holds."
    if report.code:
        yield f"- The code: {report.code}"
    if report.audit_head:
        yield f"- The audit record stood at `{report.audit_head}`: `python -m bot audit verify FILE --head {report.audit_head}`"


def _fenced(text: str) -> Iterator[str]:
    """As it stands, in a fence that nothing in it can close."""
    shown = (
        text if len(text) <= RESULT_SHOWN else f"{text[:RESULT_SHOWN]}\n… {len(text) - RESULT_SHOWN} characters more"
    )
    fence = "```"
    while fence in shown:
        fence += "`"
    yield f"{fence}text"
    yield shown
    yield fence


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
