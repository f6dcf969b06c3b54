"""`scan`: a real scanner (checkov, in an environment of its own) and a secrets pass over exactly one revision."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, cast

from pydantic import Field, model_validator

from bot.domain.calls import Prepared, ToolCall
from bot.domain.contract import SEVERITIES, Finding
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from tools import scan_checkov
from tools.attendance import attend
from tools.folder import RefusedPathError
from tools.paths import check_path
from tools.process import PLAIN_ENVIRONMENT, Command, Reach, launch, temporary_run
from tools.run_directory import Ended, RunDirectory, seconds_since
from tools.scan_devices import devices_in_plan
from tools.scan_plan import Planned, prepare_plan, secrets_in_plan
from tools.scan_report import Found, Report, Rules, ScanError, judge_code, judge_plan, locate, read_rules, worst_first
from tools.scan_report import base_address as base
from tools.scan_sources import Code, read_code, secrets_in_code, skips_in_code
from tools.snapshot import ChangedError
from tools.terraform_workshop import UnknownPlanError, Workshop
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

FINDINGS_MOST: Final = 400  # a review that shows a part of what was found would be none
LINES_MOST: Final = 100
REPORT_BYTES: Final = 16_000_000
SCANNER_S: Final = 120.0
KEPT: Final = 32  # outcomes of this process, by revision and rules

Blocks = Callable[[Finding, str], bool]


class ScanArguments(Arguments):
    plan: str = Field(default="", max_length=64, description="the plan id that terraform_plan gave")
    directory: str = Field(
        default="",
        max_length=300,
        description='instead of a plan: the folder with the .tf files as they are now, "." for the top',
    )

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if bool(self.plan) == bool(self.directory):
            raise ValueError("give the plan's id, or else a directory")
        return self


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one revision gave."""

    version: str
    found: tuple[Found, ...]
    files: int


class Scan(TypedTool[ScanArguments]):
    """`scan`. A plan is judged by its values, with the places from its code; a directory by its code alone."""

    name = "scan"
    description = (
        "Scan exactly one plan with checkov, the house's checks and a secrets pass. Gives findings with rule, resource "
        "and severity. A verdict needs its result id. With `directory` instead it looks at code that is not planned "
        "yet, which is no base for a verdict. Not for reading a plan: that is terraform_show."
    )
    timeout_s = 180.0
    arguments = ScanArguments

    def __init__(self, workshop: Workshop, scanner: Path, rules: Path, blocks: Blocks | None = None) -> None:
        """`scanner` is the checkov program of an environment; `rules` holds checks/*.yaml and severities.yaml;
        `blocks(finding, environment)` is the threat model's word, for the count in the first line.
        """
        self._workshop = workshop
        self._scanner = scanner
        self._rules = rules
        self._blocks = blocks
        self._kept: dict[tuple[str, ...], Outcome] = {}

    async def prepare(self, call: ToolCall, arguments: ScanArguments, scope: Scope) -> Prepared | Cannot:
        if not python_of(self._scanner).exists():
            return Cannot(f"The scanner {self._scanner} is not installed: an operator runs `make setup`. Without a scan "
                          "there is no verdict, and without a verdict nothing is applied.", "scan")  # fmt: skip
        try:
            if arguments.plan:
                revision, _ = self._workshop.find_plan(scope, arguments.plan)
            else:
                manifest, _ = await self._workshop.look(scope, check_path(arguments.directory, writing=False))
                revision = manifest.revision
        except (UnknownPlanError, RefusedPathError, ChangedError) as error:
            return Cannot(str(error), "scan")
        prepared = bind(call, read_effect("scan", "reads a stored revision"), arguments, snapshot=revision)
        return replace(prepared, snapshot=revision)

    async def run(self, prepared: Prepared, arguments: ScanArguments, scope: Scope, watch: Watch) -> Done:
        try:
            rules = await asyncio.to_thread(read_rules, self._rules)
            code, planned = await asyncio.to_thread(self._read, prepared.snapshot, scope, plan=bool(arguments.plan))
            key = (scope.mission.estate, prepared.snapshot, rules.digest, str(self._scanner.stat().st_mtime_ns))
            outcome = self._kept.get(key) or await self._scan(code, planned, rules, scope, watch)
        except (ChangedError, ScanError, OSError) as error:
            return answer(prepared, "failed", f"No scan, so nothing is shown to be safe: {error}")
        self._kept[key] = outcome
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        what = "plan" if arguments.plan else f"{arguments.directory} as"
        return self._tell(prepared, outcome, what, scope)

    def _read(self, revision: str, scope: Scope, *, plan: bool) -> tuple[Code, Planned | None]:
        """Every byte compared; the plan's marked values are known to the redactor afterwards."""
        store = self._workshop.snapshots(scope)
        manifest = store.load(revision)
        document = self._workshop.plan_json(store, manifest) if plan else None
        return read_code(store, manifest), prepare_plan(cast("Json", document)) if document is not None else None

    async def _scan(self, code: Code, planned: Planned | None, rules: Rules, scope: Scope, watch: Watch) -> Outcome:
        if not any(path.endswith(".tf") for path in code.stack):
            raise ScanError(f"there is no .tf file in {code.directory or 'the top folder'}")
        report = await self._check(code, planned, scope, watch)
        written = judge_code(report.part("terraform"), rules)
        own = [*secrets_in_code(code, rules.severities), *skips_in_code(code, rules.severities)]
        if planned is not None:
            part = report.part("terraform_plan")
            judged = judge_plan(part, rules, planned.types, planned.unknown)
            written = [one for one in written if base(one.resource) not in planned.touched]  # the plan knows the values
            own += [*locate(judged, report.part("terraform")), *secrets_in_plan(planned, rules.severities)]
            own += devices_in_plan(planned, rules.severities)
        lines = {(one.file, one.line) for one in own}
        more = [one for one in judge_secrets(report, rules) if (one.file, one.line) not in lines]
        found = worst_first([*written, *own, *more])
        if len(found) > FINDINGS_MOST:
            raise ScanError(f"{len(found)} findings, more than anybody reviews; the worst: {found[0]}")
        return Outcome(report.version, tuple(found), len(code.written))

    async def _check(self, code: Code, planned: Planned | None, scope: Scope, watch: Watch) -> Report:
        """Run the scanner: offline, confined, with a time-out. Whatever is not a whole report is a ScanError."""
        estate = self._workshop.estate(scope)
        estate.ensure()
        async with temporary_run(estate.runs) as run:
            await asyncio.to_thread(code.lay_out, run.work)
            if planned is not None:
                (run.work / "plan.json").write_text(json.dumps(planned.document))
            began = time.monotonic()
            child = launch(self._command(run), run)
            ended = await attend(child, watch, lambda: ("Scan", "checkov", seconds_since(began)))
            if ended == "left" or not isinstance(ended, Ended) or not ended.ok:
                raise ScanError(await asyncio.to_thread(_end_words, ended, run))
            return Report.read(await asyncio.to_thread(_read_text, run.stdout))

    def _command(self, run: RunDirectory) -> Command:
        program = Path(scan_checkov.__file__).resolve()
        return Command(
            argv=(str(python_of(self._scanner)), "-I", "-B", str(program), str(run.work), str(self._rules / "checks")),
            cwd=run.work,
            environment={**PLAIN_ENVIRONMENT, "HOME": str(run.work), "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "ERROR"},
            reach=Reach(read=(*environment_of(self._scanner), self._rules.resolve(), program), write=(run.work,)),
            timeout_s=SCANNER_S,
            output_bytes=REPORT_BYTES,
        )

    def _tell(self, prepared: Prepared, outcome: Outcome, what: str, scope: Scope) -> Done:
        found = outcome.found
        counts = {severity: sum(one.severity == severity for one in found) for severity in reversed(SEVERITIES)}
        total = [f"{count} {severity}" for severity, count in counts.items() if count] or ["no findings"]
        if self._blocks is not None:
            total.append(f"{self._blocking(found, scope, self._blocks)} blocking")
        scanner = f"checkov {outcome.version}"
        head = f"Scanned {what} {prepared.snapshot[:12]} with {scanner}, secrets: {', '.join(total)}"
        lines = [str(one) for one in found[:LINES_MOST]]
        if len(found) > LINES_MOST:
            lines.append(f"and {len(found) - LINES_MOST} more")
        facts: dict[str, Json] = {
            "revision": prepared.snapshot,
            "scanners": [scanner, "secrets"],
            "findings": [one.as_json() for one in found],
            "files": outcome.files,
        }
        return answer(prepared, "ok", "\n".join([head, *lines]), facts=facts)

    def _blocking(self, found: Sequence[Found], scope: Scope, blocks: Blocks) -> int:
        """How many block here; what people accepted does not (rule 18)."""
        given = [Finding(one.fingerprint, one.rule, one.resource, one.severity, one.text) for one in found]
        standing = [scope.mission.findings.get(one.fingerprint, one) for one in given]
        return sum(
            blocks(one, scope.mission.environment)
            for one, known in zip(given, standing, strict=True)
            if known.status != "accepted"
        )


def judge_secrets(report: Report, rules: Rules) -> list[Found]:
    """What checkov's own search for secrets adds. It names no value, so the place is the name."""
    return [
        Found(
            one.rule,
            f"{one.file}:{one.line}",
            rules.severities.of(one.rule),
            f"looks like a secret ({one.name})",
            one.file,
            one.line,
        )
        for one in report.part("secrets").results
    ]


def python_of(scanner: Path) -> Path:
    """The Python of the scanner's environment."""
    return scanner.resolve().parent / "python"


def environment_of(scanner: Path) -> tuple[Path, ...]:
    """What the scanner has to read: its environment, and the Python that it was made from."""
    root = scanner.resolve().parent.parent
    config = root / "pyvenv.cfg"
    lines = config.read_text().splitlines() if config.exists() else []
    homes = [line.partition("=")[2].strip() for line in lines if line.startswith("home")]
    return (root, *(Path(home).resolve().parent for home in homes))


def _end_words(ended: object, run: RunDirectory) -> str:
    if isinstance(ended, Ended) and ended.why == "timeout":
        return f"checkov did not finish in {SCANNER_S:.0f} s"
    how = f"ended with {ended.code} ({ended.why})" if isinstance(ended, Ended) else "was interrupted"
    said = _read_text(run.stderr).strip()[-400:]
    return f"checkov {how}: {said or 'it said nothing'}. If it stays so, an operator runs `make setup`"


def _read_text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
