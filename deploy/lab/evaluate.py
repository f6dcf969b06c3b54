"""python -m bot eval: missions in the lab against real models, n times each, as a table with confidence intervals.

A model's key and address are the program's own settings (WATCHBILL_OPENAI_API_KEY, WATCHBILL_OPENAI_BASE_URL, the same for
ANTHROPIC), from the environment. Everything but the model is the lab's; people approve every card.
"""

import argparse
import json
import math
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.lab.__main__ import MISSION
from deploy.lab.bundle.cache import UnobtainableError
from deploy.lab.headless import NOTICES, cost, name_of, played, text_of
from deploy.lab.lifetime import ended_by_signal
from deploy.lab.stack import MODELS, Lab, LabError, Options, running

NODES = "@Architect Please show that both nodes are online and that the cluster has quorum."
MISSIONS: Mapping[str, str] = {"two-nodes": NODES, "three-vms": MISSION}  # by the scenario of the lab's own model
LIMIT_S = 1800.0  # real models think; the mission's own limits end it before
TOKENS = re.compile(r"\$[\d.]+, ([\d.]+)(k|M)? tokens")
SCALE = {"": 1, "k": 1_000, "M": 1_000_000}
SCRIPTED = (
    "No key of a model is set, so the lab's own model plays a script: the figures say what the program takes, not how good "
    "a model is."
)
Z = 1.96  # for intervals of 95 %


@dataclass(frozen=True, slots=True)
class Run:
    """One mission played once."""

    model: str
    mission: str
    outcome: str
    interventions: int
    approvals: int
    tokens: int
    usd: float
    seconds: float


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bot eval", description=__doc__)
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="openai:<model> or anthropic:<model>, in prices.yaml; again for more",
    )
    parser.add_argument("--times", type=int, default=3, help="how often each mission is played (default 3)")
    parser.add_argument("--mission", action="append", choices=sorted(MISSIONS), help="all of them if absent")
    parser.add_argument("--json", action="store_true", help="a line for each run, then one with the table")
    parser.add_argument("--cache", type=Path, default=Options().cache, help="folder of the binaries")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = read_arguments(sys.argv[1:] if arguments is None else arguments)
    ended = ended_by_signal()
    try:
        models = settings_of(given.model, os.environ)
        runs: list[Run] = []
        for model, settings in models.items():
            for mission in given.mission or MISSIONS:
                runs += _played(given, ended, model, settings, mission)
    except (LabError, UnobtainableError) as error:
        print(error, file=sys.stderr)
        return 2
    if not any(models.values()):
        print(SCRIPTED, file=sys.stderr if given.json else sys.stdout)
    show(runs, as_json=given.json)
    return 0 if runs else 1


def settings_of(wanted: Sequence[str], environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The program's settings for each model; the lab's own model, without settings, where no key and no model is given.

    Raises LabError for a model whose provider has neither key nor address.
    """
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")
    keys = {
        f"WATCHBILL_{name}": environment[f"WATCHBILL_{name}"] for name in names if environment.get(f"WATCHBILL_{name}")
    }
    if not wanted:
        provider = next((one for one in MODELS if f"WATCHBILL_{one.upper()}_API_KEY" in keys), None)
        if provider is None:
            return {MODELS["openai"]: {}}
        wanted = (MODELS[provider],)
    found: dict[str, dict[str, str]] = {}
    for model in wanted:
        provider = model.partition(":")[0].upper()
        mine = {name: value for name, value in keys.items() if name.startswith(f"WATCHBILL_{provider}_")}
        if not mine:
            text = f"{model}: set WATCHBILL_{provider}_API_KEY, or WATCHBILL_{provider}_BASE_URL of a server that wants no key"
            raise LabError(text)
        own = {f"WATCHBILL_{provider}_API_KEY": "none", f"WATCHBILL_{provider}_BASE_URL": ""}
        found[model] = own | mine | {"WATCHBILL_MODEL": model}
    return found


def _played(
    given: argparse.Namespace, ended: threading.Event, model: str, settings: dict[str, str], mission: str
) -> list[Run]:
    """The runs of one mission, each in a lab of its own: nothing of an earlier run may help or hinder."""
    runs: list[Run] = []
    for number in range(given.times):
        if ended.is_set():
            break
        print(f"eval: {model}, {mission}, run {number + 1} of {given.times}", file=sys.stderr, flush=True)
        options = Options(given.cache, scenario=mission, settings=settings)
        with running(options, lambda _: None) as lab:
            lab.start_program(tied=True)
            messages, outcome, seconds = played(lab, MISSIONS[mission], ended, LIMIT_S)
            runs.append(measured(lab, model, mission, messages, outcome or "none", seconds))
        if given.json:
            print(json.dumps(asdict(runs[-1])), flush=True)
    return runs


def measured(
    lab: Lab, model: str, mission: str, messages: Sequence[dict[str, Any]], outcome: str, seconds: float
) -> Run:
    """What people read of the run; a provider's own bill may differ by its rounding."""
    own = [text_of(message) for message in messages if name_of(lab, message) == "Watchbill"]
    report = next((text for text in own if TOKENS.search(text)), "")
    found = TOKENS.search(report)
    tokens = round(float(found[1]) * SCALE[found[2] or ""]) if found else 0
    cards = sum("request " in text and ("Approval needed" in text or "Approved" in text) for text in own)
    notices = sum(bool(NOTICES.search(text)) for text in own)
    return Run(model, mission, outcome, notices, cards, tokens, cost(report), round(seconds, 1))


def show(runs: Sequence[Run], *, as_json: bool) -> None:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.model, run.mission), []).append(run)
    rows = [row(model, mission, group) for (model, mission), group in groups.items()]
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    heads = ("model", "mission", "done", "95 %", "interventions", "approvals", "tokens", "$", "seconds")
    cells = [heads, *(tuple(str(one[name]) for name in heads) for one in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(heads))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def row(model: str, mission: str, runs: Sequence[Run]) -> dict[str, str]:
    """Means of the runs with their intervals; the share of missions done with Wilson's, which holds for few runs too."""
    done = sum(run.outcome == "done" for run in runs)
    low, high = wilson(done, len(runs))
    return {
        "model": model,
        "mission": mission,
        "done": f"{done} of {len(runs)}",
        "95 %": f"{low:.0%} to {high:.0%}",
        "interventions": mean([run.interventions for run in runs]),
        "approvals": mean([run.approvals for run in runs]),
        "tokens": mean([run.tokens for run in runs], 0),
        "$": mean([run.usd for run in runs], 3),
        "seconds": mean([run.seconds for run in runs]),
    }


def wilson(done: int, runs: int) -> tuple[float, float]:
    """The interval of 95 % for the share, by Wilson's score (1927)."""
    share, square = done / runs, Z * Z / runs
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / runs + square / (4 * runs))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean(values: Sequence[float], digits: int = 1) -> str:
    """The mean, and half of its interval where there are two values or more."""
    middle = sum(values) / len(values)
    if len(values) < 2:
        return f"{middle:,.{digits}f}"
    spread = math.sqrt(sum((value - middle) ** 2 for value in values) / (len(values) - 1))
    return f"{middle:,.{digits}f} ± {Z * spread / math.sqrt(len(values)):,.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
