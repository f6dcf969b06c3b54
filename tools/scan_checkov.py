"""Runs checkov and prints one JSON report. A program of its own: it runs confined, in checkov's environment, as
`python -I scan_checkov.py <work> <checks>`, and imports nothing of ours.

Checkov's command line loads every framework it has and sets up its platform's client; these three are a third of the
time, and a file that no checkov setting in the code can reach decides what is run. In `work`: plan.json (a plan, with
its unknown values filled in), code/ (Terraform), files/ (what is searched for secrets). What is not there is not run.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FRAMEWORKS = (
    ("terraform_plan", "checkov.terraform.plan_runner", "plan.json"),
    ("terraform", "checkov.terraform.runner", "code"),
    ("secrets", "checkov.secrets.runner", "files"),
)


def main(work: Path, checks: str) -> dict[str, Any]:
    parts = [_run(name, module, work / place, checks) for name, module, place in FRAMEWORKS if (work / place).exists()]
    return {"version": importlib.import_module("checkov.version").version, "parts": parts}


def _run(name: str, module: str, place: Path, checks: str) -> dict[str, Any]:
    filters = importlib.import_module("checkov.runner_filter").RunnerFilter(
        framework=[name], show_progress_bar=False, download_external_modules=False
    )
    where = {"root_folder": str(place)} if place.is_dir() else {"root_folder": None, "files": [str(place)]}
    outside = None if name == "secrets" else [checks]
    report = importlib.import_module(module).Runner().run(**where, external_checks_dir=outside, runner_filter=filters)
    return {
        "framework": name,
        "results": list(_results(report, hidden=name == "secrets")),
        "broken": [_inside(path, place) for path in report.parsing_errors],
    }


def _results(report: Any, *, hidden: bool) -> Iterator[dict[str, Any]]:
    """`hidden`: the resource's name is a hash of the secret that was found, which nobody needs to see."""
    for check in (*report.failed_checks, *report.skipped_checks, *report.passed_checks):
        yield {
            "rule": check.check_id,
            "name": check.check_name,
            "resource": "" if hidden else check.resource,
            "outcome": str(check.check_result["result"].value),
            "file": str(check.file_path).lstrip("/"),
            "line": int(check.file_line_range[0]),
        }


def _inside(path: str, place: Path) -> str:
    given = Path(path)
    return str(given.relative_to(place)) if given.is_relative_to(place) else given.name


if __name__ == "__main__":
    told, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no report
    json.dump(main(Path(sys.argv[1]), sys.argv[2]), told)
