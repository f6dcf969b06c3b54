"""`make mutation`: cosmic-ray over bot/gate and bot/policy, in a copy of the tree. Prints the figure and every survivor.

    python -m tests.mutation [--group gate|policy|commands] [--sample N] [--seed N] [--minutes N]

A mutant is killed when a test of its group fails, survives when all pass. Sampled at random unless `--sample 0`; a part
that was not reached in time is said, and counts as nothing. cosmic-ray writes into the files it mutates: hence the copy.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".cache" / "mutation" / "bin" / "cosmic-ray"
TIMEOUT_S = 240


@dataclass(frozen=True, slots=True)
class Group:
    """Modules, and the quick tests that should notice a change of them."""

    modules: tuple[str, ...]
    excluded: tuple[str, ...]
    tests: tuple[str, ...]


GROUPS = {
    "gate": Group(("bot/gate",), (), ("tests/unit/test_gate_*.py", "tests/unit/test_provenance.py")),
    "policy": Group(
        ("bot/policy",),
        ("bot/policy/commands/*",),
        (
            "tests/unit/test_policy_*.py", "tests/unit/test_coverage.py", "tests/unit/test_knowledge.py",
            "tests/unit/test_provenance.py", "tests/unit/test_secret_bindings.py", "tests/unit/test_signatures.py",
            "tests/unit/test_gate_*.py", "tests/property/test_speech_cutting.py", "tests/property/test_signatures.py",
        ),
    ),
    "commands": Group(
        ("bot/policy/commands",), (), ("tests/unit/test_commands_*.py", "tests/contract/test_commands_programs.py")
    ),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--group", choices=sorted(GROUPS), action="append", help="default: gate and policy")
    parser.add_argument("--sample", type=int, default=60, help="mutants of each group, 0 for all (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="stop each group after so long; 0: when it is done")
    given = parser.parse_args()
    if not PROGRAM.exists():
        print(f"{PROGRAM} is missing: run make mutation", file=sys.stderr)
        return 2
    for name in given.group or ("gate", "policy"):
        with tempfile.TemporaryDirectory(prefix="watchbill-mutation-") as folder:
            run(name, Path(folder), given.sample, given.seed, given.minutes)
    return 0


def run(name: str, folder: Path, sample: int, seed: int, minutes: float) -> None:
    """One group, in a copy under `folder`."""
    group, tree, session = GROUPS[name], folder / "tree", folder / "session.sqlite"
    copy(tree)
    config = folder / "config.toml"
    tests = sorted(str(path.relative_to(tree)) for pattern in group.tests for path in tree.glob(pattern))
    command = f"{tree}/.venv/bin/python -m pytest -x -q -p no:randomly -p no:cacheprovider {' '.join(tests)}"
    config.write_text(
        "[cosmic-ray]\n"
        f"module-path = {json.dumps(list(group.modules))}\ntimeout = {TIMEOUT_S}\n"
        f"excluded-modules = {json.dumps(list(group.excluded))}\ntest-command = {json.dumps(command)}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "examples"),
    }
    subprocess.run([*command.split()], cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([str(PROGRAM), "init", str(config), str(session)], cwd=tree, env=environment, check=True)
    total = keep(session, sample, seed)
    try:
        seconds = minutes * 60 or None
        subprocess.run(
            [str(PROGRAM), "exec", str(config), str(session)], check=True, cwd=tree, env=environment, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        print(f"{name}: stopped after {minutes:g} minutes", flush=True)
    tell(name, session, total)


def copy(tree: Path) -> None:
    """Every file of the working copy, compiled with hashes, so that a mutant is never mistaken for what was there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    for name in (".venv", ".cache"):
        (tree / name).symlink_to((ROOT / name).resolve())
    compile_all = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "bot", "tools", "tests"]
    subprocess.run([str(tree / ".venv/bin/python"), *compile_all], cwd=tree, check=True)


def keep(session: Path, sample: int, seed: int) -> int:
    """Leave `sample` mutants in the session, chosen by `seed`. Returns how many there were."""
    with sqlite3.connect(session) as database:
        jobs = sorted(row[0] for row in database.execute("select job_id from mutation_specs order by module_path"))
        places = database.execute(
            "select job_id, module_path, operator_name, occurrence from mutation_specs"
        ).fetchall()
        places.sort(key=lambda row: row[1:])
        chosen = random.Random(seed).sample(places, min(sample or len(jobs), len(jobs)))
        kept = {row[0] for row in chosen}
        gone = [(job,) for job in jobs if job not in kept]
        database.executemany("delete from mutation_specs where job_id = ?", gone)
        database.executemany("delete from work_items where job_id = ?", gone)
    return len(jobs)


def tell(name: str, session: Path, total: int) -> None:
    with sqlite3.connect(session) as database:
        rows = database.execute("select test_outcome, diff, output from work_results").fetchall()
        meant = database.execute("select count(*) from work_items").fetchone()[0]
    survivors = [str(diff) for outcome, diff, _ in rows if str(outcome).upper().endswith("SURVIVED")]
    killed = sum(str(outcome).upper().endswith("KILLED") for outcome, _, _ in rows)
    for diff in survivors:
        print(f"\nsurvived\n{diff}", flush=True)
    tried = killed + len(survivors)
    part = f"{100 * killed / tried:.0f} %" if tried else "nothing"
    print(f"{name}: {killed} of {tried} mutants killed ({part}); {meant} sampled, {total} there are", flush=True)


if __name__ == "__main__":
    sys.exit(main())
