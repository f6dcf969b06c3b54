"""The crew's own tools: plan, hand the turn on, ask, record verdicts and evidence. Their effect is the mission log."""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.domain import log
from bot.domain.calls import CallClass, Effect, Prepared, ToolCall, ToolResult
from bot.domain.contract import SEVERITIES, Criterion, Evidence, Finding, PlanStep, Severity, Verdict
from bot.domain.ids import ArtifactId, CallId, Json, PersonaName, QuestionId
from bot.domain.ports import ArgumentError, Cannot, Done, Scope, Watch
from bot.domain.state import CallRecord, Mission
from bot.domain.storage import Artifacts
from bot.mission import mark_of
from bot.policy.coverage import normal, quoted, tells, uncovered
from bot.policy.evidence import facts_told, hold
from tools.crew_arguments import (
    CRITERIA_MOST,
    AskArguments,
    EvidenceArguments,
    FindingArgument,
    HandOffArguments,
    PlanArguments,
    ReadArguments,
    VerdictArguments,
)

OWN = frozenset(  # an agent's own words: no evidence
    {
        "plan", "hand_off", "ask_human", "record_verdict", "record_evidence", "read_artifact", "workspace_write",
        "workspace_patch",
    }
)  # fmt: skip
CODE = frozenset(  # what the code says, or what an agent wrote into it (outputs): no evidence of what there is
    {
        "workspace_list", "workspace_read", "terraform_validate", "terraform_plan", "terraform_show", "terraform_output",
        "scan",
    }
)  # fmt: skip
CODE_ONLY = "code-only"  # this one standard is shown by the state, and by a plan that compared code with what exists
SHOWS_CODE = frozenset({"terraform_state", "terraform_plan"})
RATED: Mapping[str, Severity] = {severity: severity for severity in SEVERITIES}
UNKNOWN_SEVERITY: Severity = "high"  # of a scanner's finding that names none
REVIEWED = frozenset({"scan", "terraform_show"})  # results that look at one revision and name it in facts["revision"]


class Refusal(Exception):  # noqa: N818 # not an error of the program: a no that the model can act on
    """The crew tool says no; the text says what would be accepted."""


Act = Callable[[Any, Scope], Awaitable[tuple[str, tuple[log.Entry, ...], Mapping[str, Json]]]]


@dataclass(frozen=True, slots=True)
class CrewTool:
    """A tool whose whole effect is entries of the mission log."""

    name: str
    description: str
    model: type[BaseModel]
    act: Act
    timeout_s: float = 10.0
    durable: bool = False
    together: bool = False
    schema: Mapping[str, Json] = field(default_factory=dict[str, Json])

    def parse(self, arguments: Mapping[str, Json]) -> BaseModel:
        try:
            return self.model.model_validate(dict(arguments))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()[:5]]
            raise ArgumentError("; ".join(lines)) from error

    async def prepare(self, call: ToolCall, arguments: BaseModel, scope: Scope) -> Prepared | Cannot:
        del scope
        effect = Effect(CallClass.READ, f"tools/crew.py: {self.name}", "writes the mission log only")
        binding: dict[str, Json] = {"tool": self.name, "arguments": arguments.model_dump(mode="json")}
        return Prepared(call, effect, binding)

    async def pins(self, prepared: Prepared, arguments: BaseModel) -> Mapping[str, str]:
        del arguments
        return prepared.pins

    async def run(self, prepared: Prepared, arguments: BaseModel, scope: Scope, watch: Watch) -> Done:
        del watch
        try:
            text, entries, facts = await self.act(arguments, scope)
        except Refusal as refusal:
            return Done(ToolResult(prepared.call.id, self.name, "refused", str(refusal)))
        return Done(ToolResult(prepared.call.id, self.name, "ok", text, facts=dict(facts)), entries)

    async def recover(self, prepared: Prepared, arguments: BaseModel, scope: Scope, watch: Watch) -> Done:
        del arguments, scope, watch
        return Done(ToolResult(prepared.call.id, self.name, "interrupted", "The call left no entry."))


def crew_tools(
    *, personas: Sequence[PersonaName], standards: Mapping[str, str], artifacts: Artifacts,
    blocks: Callable[[Finding, str], bool],
) -> tuple[CrewTool, ...]:  # fmt: skip
    """The six crew tools. `standards` maps key → text; `blocks(finding, environment)` is the threat model's word."""

    async def plan(arguments: PlanArguments, scope: Scope):  # noqa: ANN202 # Act
        return _plan(arguments, scope.mission, standards, personas)

    async def hand_off(arguments: HandOffArguments, scope: Scope):  # noqa: ANN202 # Act
        return _hand_off(arguments, scope, personas)

    async def ask_human(arguments: AskArguments, scope: Scope):  # noqa: ANN202 # Act
        return _ask(arguments, scope)

    async def record_verdict(arguments: VerdictArguments, scope: Scope):  # noqa: ANN202 # Act
        return _verdict(arguments, scope, blocks)

    async def record_evidence(arguments: EvidenceArguments, scope: Scope):  # noqa: ANN202 # Act
        return _evidence(arguments, scope)

    async def read_artifact(arguments: ReadArguments, scope: Scope):  # noqa: ANN202 # Act
        del scope
        return await _read(arguments, artifacts)

    known = ", ".join(f"{key} ({text})" for key, text in standards.items())
    names = ", ".join(personas)
    rows: tuple[tuple[str, str, type[BaseModel], Act], ...] = (
        ("plan", ("Record criteria and steps. Each criterion quotes the request's words verbatim or names a standard: "
         f"{known}. Steps serve criteria. A later call with criteria [] replaces the steps only."), PlanArguments, plan),
        ("hand_off", f"Give the turn to {names} with a task. Ends your turn. Not for asking people.",
         HandOffArguments, hand_off),
        ("ask_human", ("Ask people one question with 1 to 3 options and a default that counts at the deadline. Ends your "
         "turn. Not for approvals: the gate asks those itself."), AskArguments, ask_human),
        ("record_verdict", ("Record the verdict on exactly one plan id, with the ids of the scan and show results you "
         "looked at and every finding."), VerdictArguments, record_verdict),
        ("record_evidence", ("Record what shows a criterion: the id of a tool result of yours, newer than the last change, and a "
         "check of its facts that is true only if the criterion holds. The check decides, not the words."),
         EvidenceArguments, record_evidence),
        ("read_artifact", "Read more of a long result by its artifact id.", ReadArguments, read_artifact),
    )  # fmt: skip
    return tuple(
        CrewTool(name, text, model, act, schema=model.model_json_schema(), together=name == "read_artifact")
        for name, text, model, act in rows
    )


Acted = tuple[str, tuple[log.Entry, ...], Mapping[str, Json]]


def _plan(
    args: PlanArguments, mission: Mission, standards: Mapping[str, str], personas: Sequence[PersonaName]
) -> Acted:
    sources = (mission.request, *(text for _, text in mission.amendments))
    start = len(mission.criteria)
    if start + len(args.criteria) > CRITERIA_MOST:
        raise Refusal(f"A contract has at most {CRITERIA_MOST} criteria; there are {start}. Join some.")
    if not start and not args.criteria:
        raise Refusal("There are no criteria yet: give each with the words of the request it comes from.")
    known = {normal(c.text) for c in mission.criteria}
    criteria: list[Criterion] = []
    for number, given in enumerate(args.criteria, start + 1):
        if bool(given.quote) == bool(given.standard):
            raise Refusal(f"Criterion {number} needs either a quote or a standard: '{given.text}'.")
        if given.quote and not (tells(given.quote) and quoted(given.quote, sources)):
            raise Refusal(
                f"Criterion {number}: “{given.quote}” does not stand in the request, or says nothing. Quote the words "
                "it comes from, verbatim."
            )
        if given.standard and given.standard not in standards:
            raise Refusal(
                f"Criterion {number}: no standard '{given.standard}'. Known: {', '.join(standards) or 'none'}."
            )
        if normal(given.text) in known:
            raise Refusal(f"Criterion {number} is there already: '{given.text}'.")
        known.add(normal(given.text))
        criteria.append(Criterion(number, given.text, given.quote, given.standard))
    steps = _steps(args, mission, criteria, personas)
    quotes = [c.quote for c in (*mission.criteria, *criteria) if c.quote]
    left = tuple(run for source in sources for run in uncovered(source, quotes))
    entry = log.Planned(tuple(criteria), steps, left)
    total = start + len(criteria)
    text = f"Plan recorded: criteria 1..{total}; steps 1..{len(steps) or len(mission.steps)}."
    if left:
        text += f" Words of the request without a criterion: {'; '.join(left[:5])}. They are listed on the card."
    return text, (entry,), {}


def _steps(
    args: PlanArguments, mission: Mission, criteria: Sequence[Criterion], personas: Sequence[PersonaName]
) -> tuple[PlanStep, ...]:
    if not args.steps and not mission.steps:
        raise Refusal("A plan needs steps: each with title, owner and the criteria it serves.")
    numbers = {c.number for c in (*mission.criteria, *criteria)}
    open_ones = {c.number for c in mission.criteria if mark_of(mission, c) in {"open", "failed"}}
    open_ones |= {c.number for c in criteria}
    steps: list[PlanStep] = []
    for number, step in enumerate(args.steps, 1):
        owner = PersonaName(step.owner.lower())
        if owner not in personas:
            raise Refusal(f"Step {number}: nobody here is called '{step.owner}'. The crew: {', '.join(personas)}.")
        if not step.serves or not set(step.serves) <= numbers:
            raise Refusal(f"Step {number} has to name the criteria it serves (of {sorted(numbers)}): '{step.title}'.")
        steps.append(PlanStep(number, step.title, owner, tuple(step.serves), step.verify))
    if steps and not any(open_ones & set(step.serves) for step in steps):
        raise Refusal(f"No step serves an open criterion. Open are {sorted(open_ones)}.")
    return tuple(steps)


def _hand_off(args: HandOffArguments, scope: Scope, personas: Sequence[PersonaName]) -> Acted:
    mission, to = scope.mission, PersonaName(args.to.strip().lstrip("@").lower())
    if to not in personas:
        raise Refusal(f"Nobody here is called '{args.to}'. The crew: {', '.join(personas)}.")
    if to == scope.persona:
        raise Refusal("That is you. Do the task, or hand it to somebody else.")
    fingerprint = task_fingerprint(to, args.task)
    same = [r for r in mission.hand_offs if r.fingerprint == fingerprint]
    if same and same[-1].progress == mission.progress:
        raise Refusal(
            f"{to} already got this task and nothing has changed since: no new plan, change, verdict, evidence or answer. "
            "Say what is different now, do something else, or ask_human with a default."
        )
    entry = log.HandedOff(scope.turn, scope.persona, to, args.task, args.step, fingerprint)
    return f"The turn goes to {to}.", (entry,), {}


def task_fingerprint(to: PersonaName, task: str) -> str:
    """Identity of a task: who and which words, whatever their case, spacing and punctuation."""
    return hashlib.sha256(f"{to}|{normal(task)}".encode()).hexdigest()[:16]


def _ask(args: AskArguments, scope: Scope) -> Acted:
    if scope.mission.questions:
        raise Refusal("A question already waits for an answer. One at a time.")
    if args.default >= len(args.options):
        raise Refusal(f"default is an index into the {len(args.options)} options, counted from 0.")
    number = f"{scope.mission.id}-{scope.turn}-{scope.mission.ordinal}"
    question = QuestionId(hashlib.sha256(number.encode()).hexdigest()[:12])
    deadline = scope.now + timedelta(minutes=args.minutes)
    entry = log.Asked(question, scope.persona, args.question, tuple(args.options), args.default, deadline)
    text = f"Asked. Default in {args.minutes} min: {args.options[args.default]}."
    return text, (entry,), {"question": question}


def _verdict(args: VerdictArguments, scope: Scope, blocks: Callable[[Finding, str], bool]) -> Acted:
    mission = scope.mission
    revision = _revision(args.revision, mission)
    known = mission.verdicts.get(revision)
    if known is not None and known.passed:
        return f"Plan {revision[:12]} has its verdict already: pass. Hand the turn on.", (), {"revision": revision}
    checks = [_check(given, scope, revision) for given in args.checks]
    if not any(record.tool == "scan" for record in checks):
        raise Refusal(f"A verdict needs a scan of plan {revision[:12]} among its checks: run scan with this plan id.")
    scans = [r for r in mission.results.values() if r.tool == "scan" and r.facts.get("revision") == revision]
    shown = {found.fingerprint: found for record in scans for found in _scanned(record)}
    findings = {finding.fingerprint: finding for finding in map(_finding, args.findings)}
    for fingerprint, found in shown.items():
        findings[fingerprint] = _at_least(found, findings.get(fingerprint))
    stands = [_standing(finding, mission, shown) for finding in findings.values()]
    blocking = [finding for finding in stands if finding.status == "open" and blocks(finding, mission.environment)]
    tools = tuple(dict.fromkeys(name for record in checks for name in _scanners(record)))
    calls = tuple(record.call for record in checks)
    held = tuple(finding.fingerprint for finding in blocking)
    verdict = Verdict(revision, scope.persona, not blocking, calls, tuple(stands), args.words, tools, held)
    said = "pass" if not blocking else "blocked by " + ", ".join(f"{f.rule} on {f.resource}" for f in blocking[:5])
    text = f"Verdict on plan {revision[:12]}: {said}. {len(stands)} findings, {len(blocking)} blocking."
    return text, (log.VerdictRecorded(verdict),), {"revision": revision, "passed": not blocking}


def _revision(given: str, mission: Mission) -> str:
    revisions = {
        str(r.facts["plan"]) for r in mission.results.values() if r.tool == "terraform_plan" and r.facts.get("plan")
    }
    found = [revision for revision in revisions if revision.startswith(given.lower())]
    if len(found) != 1:
        latest = ", ".join(revision[:12] for revision in revisions) or "none yet"
        raise Refusal(f"No plan '{given}' in this mission. Plans: {latest}.")
    return found[0]


def _check(given: str, scope: Scope, revision: str) -> CallRecord:
    record = scope.mission.results.get(CallId(given))
    if record is None:
        record = next((r for r in scope.mission.results.values() if given and r.artifact == given), None)
    if record is None or record.status != "ok" or record.tool not in REVIEWED or record.persona != scope.persona:
        raise Refusal(f"'{given}' is not a result of a check you ran ({', '.join(sorted(REVIEWED))}).")
    if record.facts.get("revision") != revision:
        raise Refusal(f"'{given}' did not look at plan {revision[:12]}: run the check on this plan id.")
    return record


def _scanned(record: CallRecord) -> list[Finding]:
    """The scanner's own findings count even where the agent did not repeat them."""
    raw = record.facts.get("findings")
    found: list[Finding] = []
    for item in raw if isinstance(raw, list | tuple) else ():
        if isinstance(item, Mapping):
            severity = RATED.get(str(item.get("severity", "")).lower(), UNKNOWN_SEVERITY)
            rule, resource = str(item.get("rule") or "unnamed rule"), str(item.get("resource") or "unnamed resource")
            text = str(item.get("text", ""))[:500]
            found.append(Finding(_fingerprint(rule, resource), rule, resource, severity, text))
    return found


def _at_least(found: Finding, given: Finding | None) -> Finding:
    """What a scanner found on this very revision stands: an agent may rate it higher, not lower and not away."""
    if given is None:
        return found
    return replace(given, severity=max(given.severity, found.severity, key=SEVERITIES.index), status=found.status)


def _scanners(record: CallRecord) -> list[str]:
    raw = record.facts.get("scanners")
    return [str(name) for name in raw] if isinstance(raw, list | tuple) else [record.tool]


def _finding(given: FindingArgument) -> Finding:
    fingerprint = _fingerprint(given.rule, given.resource)
    return Finding(fingerprint, given.rule, given.resource, given.severity, given.text, given.status)


def _fingerprint(rule: str, resource: str) -> str:
    return hashlib.sha256(f"{rule}|{resource}".encode()).hexdigest()[:12]


def _standing(finding: Finding, mission: Mission, shown: Collection[str]) -> Finding:
    """Accepted by a human, it cannot block again (rule 18). Mitigated is what no scan of this very revision shows: an
    agent's word for it, on this plan or an earlier one, does not close what the scanner sees here.
    """
    known = mission.findings.get(finding.fingerprint)
    if known is not None and (known.status == "accepted" or finding.fingerprint not in shown):
        return finding if known.status == "open" else known
    return finding


def _evidence(args: EvidenceArguments, scope: Scope) -> Acted:
    mission = scope.mission
    if args.criterion not in {c.number for c in mission.criteria}:
        raise Refusal(f"There is no criterion {args.criterion}. There are {len(mission.criteria)}.")
    evidence = Evidence(args.criterion, args.outcome, CallId(""), args.words, scope.persona)
    if args.outcome != "unverifiable":
        record = _probed(args, scope)
        exchange = mission.exchanges.get(scope.persona)
        made = next((call for call in (exchange.calls if exchange else ()) if call.id == record.call), None)
        probe: Mapping[str, Json] = made.arguments if made else {}
        evidence = replace(evidence, call=record.call, check=args.check, tool=record.tool, arguments=probe)
    return f"Criterion {args.criterion}: {args.outcome}.", (log.EvidenceRecorded(evidence),), {}


def _probed(args: EvidenceArguments, scope: Scope) -> CallRecord:
    """The result that shows it: QA's own probe, newer than the last change, and its check says what QA says (rule 8)."""
    record = scope.mission.results.get(CallId(args.result))
    if record is None or record.tool in OWN or record.persona != scope.persona:
        raise Refusal(f"'{args.result}' is not the id of a probe of yours. Each result begins with [result <id>].")
    standard = next(c.standard for c in scope.mission.criteria if c.number == args.criterion)
    if record.tool in CODE | SHOWS_CODE and not (record.tool in SHOWS_CODE and standard == CODE_ONLY):
        raise Refusal(
            f"Result {args.result} is of {record.tool}, which says what the code says, not what there is. Probe what runs "
            f"(proxmox_read, http_probe, …); {' and '.join(sorted(SHOWS_CODE))} show the standard {CODE_ONLY} and nothing else."
        )
    if record.status != "ok" and (args.outcome == "passed" or record.status != "failed"):
        raise Refusal(f"Result {args.result} is {record.status}; it cannot show that.")
    if record.ordinal <= scope.mission.last_change:
        raise Refusal(f"Result {args.result} is older than the last change. Probe again.")
    if not args.check:
        if args.outcome == "failed":
            return record
        raise Refusal(f"Give `check`: what of the result must be true. {facts_told(record.facts)}")
    held = hold(args.check, record.facts)
    if isinstance(held, str):
        raise Refusal(f"Result {args.result}: {held}")
    if held != (args.outcome == "passed"):
        said = "true" if held else "false"
        raise Refusal(f"Result {args.result}: the check is {said}, so the outcome is not {args.outcome}.")
    return record


async def _read(args: ReadArguments, artifacts: Artifacts) -> Acted:
    content = await artifacts.get(ArtifactId(args.id.strip()))
    if content is None:
        raise Refusal(f"There is no artifact '{args.id}'.")
    text = content.decode("utf-8", "replace")
    part = text[args.offset : args.offset + args.limit]
    return f"characters {args.offset} to {args.offset + len(part)} of {len(text)}\n{part}", (), {"size": len(text)}
