"""`scan`: a real scanner (checkov, in an environment of its own) and a secrets pass over exactly one revision."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field

from bot.domain.calls import Prepared, ToolCall
from bot.domain.contract import SEVERITIES, Severity
from bot.domain.ids import Json
from bot.domain.ports import Cannot, Done, Scope, Watch
from bot.policy.secret_patterns import find_secrets
from bot.policy.terraform_marks import mask
from tools.estate import BLUEPRINTS
from tools.process import PLAIN_ENVIRONMENT, Command, Ended, Reach, launch, temporary_run
from tools.snapshot import ChangedError, Manifest
from tools.terraform_workshop import CODE, UnknownPlanError, Workshop
from tools.typed import Arguments, TypedTool, answer, bind, read_effect

FINDINGS_MOST: Final = 50
SCANNER_S: Final = 120.0
PLAN: Final = "plan.json"
NOT_WRITTEN_HERE: Final = (".terraform/", f"{CODE}{BLUEPRINTS}/")  # providers; blueprints are vetted and hash-checked


class ScanError(Exception):
    """The scanner gave no usable answer. Never a pass."""


class ScanArguments(Arguments):
    plan: str = Field(min_length=8, max_length=64, description="the plan id that terraform_plan gave")


class SeveritiesFile(BaseModel):
    """policies/scan/severities.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    default: Severity
    rules: dict[str, Severity] = {}


@dataclass(frozen=True, slots=True)
class Found:
    rule: str
    resource: str
    severity: Severity
    text: str
    place: str = ""

    def as_json(self) -> Json:
        return {"rule": self.rule, "resource": self.resource, "severity": self.severity, "text": self.text}


class Scan(TypedTool[ScanArguments]):
    """`scan`."""

    name = "scan"
    description = (
        "Scan exactly one plan with the house's checks and a secrets pass. Gives findings with rule, resource and severity. "
        "A verdict needs its result id."
    )
    timeout_s = 180.0
    arguments = ScanArguments

    def __init__(self, workshop: Workshop, scanner: Path, rules: Path) -> None:
        """`scanner` is the checkov program; `rules` holds checks/*.yaml and severities.yaml."""
        self._workshop = workshop
        self._scanner = scanner
        self._rules = rules

    async def prepare(self, call: ToolCall, arguments: ScanArguments, scope: Scope) -> Prepared | Cannot:
        if not self._scanner.exists():
            return Cannot(f"The scanner {self._scanner} is not installed: an operator runs `make setup`. Without a scan "
                          "there is no verdict, and without a verdict nothing is applied.", "scan")  # fmt: skip
        try:
            revision, _ = self._workshop.find_plan(scope, arguments.plan)
        except (UnknownPlanError, ChangedError) as error:
            return Cannot(str(error), "scan")
        prepared = bind(call, read_effect("scan", "reads a stored plan"), arguments, snapshot=revision)
        return replace(prepared, snapshot=revision)

    async def run(self, prepared: Prepared, arguments: ScanArguments, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        store = self._workshop.snapshots(scope)
        try:
            manifest = store.load(prepared.snapshot)
            plan = self._workshop.plan_json(store, manifest)
            code = {path: store.take(manifest, path) for path in code_of(manifest)}
            severities = read_severities(self._rules)
            version, found = await self._check(plan, scope, severities, watch)
        except (ChangedError, ScanError) as error:
            return answer(prepared, "failed", f"No scan, so nothing is shown to be safe: {error}")
        found += [
            one for path, content in code.items() for one in secrets_in(path.removeprefix(CODE), content, severities)
        ]
        found.sort(key=lambda one: -SEVERITIES.index(one.severity))
        return _told(prepared, found, version, len(code))

    async def _check(
        self, plan: Mapping[str, Any], scope: Scope, severities: SeveritiesFile, watch: Watch
    ) -> tuple[str, list[Found]]:
        """Run the scanner on the plan, its sensitive values masked; offline, confined, with a time-out."""
        estate = self._workshop.estate(scope)
        estate.ensure()
        async with temporary_run(estate.runs) as run:
            clean = mask(cast("Json", plan)).document
            (run.work / PLAN).write_text(json.dumps(clean))
            command = Command(
                argv=self._argv(run.work / PLAN),
                cwd=run.work,
                environment={
                    **PLAIN_ENVIRONMENT,
                    "HOME": str(run.work),
                    "BC_SKIP_MAPPING": "TRUE",
                    "LOG_LEVEL": "ERROR",
                },
                reach=Reach(read=(*environment_of(self._scanner), self._rules), write=(run.work,)),
                timeout_s=SCANNER_S,
            )
            await watch.progress("Scan", "checkov")
            child = launch(command, run)
            ended = await child.wait()
            output = await asyncio.to_thread(run.stdout.read_text, errors="replace")
            if not isinstance(ended, Ended) or ended.why != "exit" or ended.code not in {0, 1}:
                said = await asyncio.to_thread(run.stderr.read_text, errors="replace")
                raise ScanError(f"checkov ended with {ended}: {said[-400:]}")
            await watch.progress("Scan", f"checkov {ended.seconds:.0f} s")
        return read_report(output, severities)

    def _argv(self, plan: Path) -> tuple[str, ...]:
        python = self._scanner.parent / "python"
        checks = str(self._rules / "checks")
        return (
            str(python), str(self._scanner), "-f", str(plan), "--framework", "terraform_plan",
            "--external-checks-dir", checks, "--output", "json", "--compact", "--quiet", "--skip-download",
        )  # fmt: skip


def environment_of(scanner: Path) -> tuple[Path, ...]:
    """What the scanner has to read: its environment, and the Python that it was made from."""
    root = scanner.parent.parent
    config = root / "pyvenv.cfg"
    homes = [line.partition("=")[2].strip() for line in config.read_text().splitlines() if line.startswith("home")]
    return (root.resolve(), *(Path(home).resolve().parent for home in homes))


def code_of(manifest: Manifest) -> list[str]:
    """The files that agents wrote."""
    return [
        path for path in manifest.files if path.startswith(CODE) and not any(own in path for own in NOT_WRITTEN_HERE)
    ]


def read_severities(rules: Path) -> SeveritiesFile:
    return SeveritiesFile.model_validate(yaml.safe_load((rules / "severities.yaml").read_text(encoding="utf-8")))


def read_report(output: str, severities: SeveritiesFile) -> tuple[str, list[Found]]:
    """Checkov's version and its failed checks. Raises ScanError where the report is not one, or a file was not parsed."""
    try:
        report: Any = json.loads(output)
    except ValueError as error:
        raise ScanError(f"checkov gave no report: {output[-300:]}") from error
    parts = cast("list[dict[str, Any]]", report if isinstance(report, list) else [report])
    found: list[Found] = []
    version = ""
    for part in parts:
        summary: dict[str, Any] = part.get("summary", part)
        version = str(summary.get("checkov_version", version))
        if summary.get("parsing_errors"):
            raise ScanError(f"checkov could not read the plan ({summary['parsing_errors']} parsing errors)")
        results: dict[str, Any] = part.get("results", {})
        for check in cast("list[dict[str, Any]]", results.get("failed_checks", [])):
            rule = str(check.get("check_id", "unknown"))
            severity = severities.rules.get(rule, severities.default)
            found.append(Found(rule, str(check.get("resource", "")), severity, str(check.get("check_name", ""))))
    if not version:
        raise ScanError("checkov gave a report without its version")
    return version, found


def secrets_in(path: str, content: bytes, severities: SeveritiesFile) -> Iterator[Found]:
    """What looks like a secret in one file; the value is never shown."""
    text = content.decode("utf-8", "replace")
    rule = "secret-in-code"
    for start, _, kind in find_secrets(text):
        line = text.count("\n", 0, start) + 1
        severity = severities.rules.get(rule, severities.default)
        yield Found(rule, f"{path}:{line}", severity, f"looks like a secret ({kind})", f"{path}:{line}")


def _told(prepared: Prepared, found: list[Found], version: str, files: int) -> Done:
    counts = {severity: sum(one.severity == severity for one in found) for severity in SEVERITIES}
    total = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count) or "no findings"
    head = f"Scanned plan {prepared.snapshot[:12]} with checkov {version}, secrets: {total}"
    lines = [f"{one.severity} {one.rule} {one.resource}: {one.text}" for one in found[:FINDINGS_MOST]]
    if len(found) > FINDINGS_MOST:
        lines.append(f"and {len(found) - FINDINGS_MOST} more")
    facts: dict[str, Json] = {
        "revision": prepared.snapshot,
        "scanners": [f"checkov {version}", "secrets"],
        "findings": [one.as_json() for one in found[:FINDINGS_MOST]],
        "found": len(found),
        "files": files,
    }
    return answer(prepared, "ok", "\n".join([head, *lines]), facts=facts)
