"""The classifier: p50 and p99 of one command, in processor time, and how often it would ask on the corpus.

The reference is the parse alone, by the same parser in the same process. The best open peer (Dippy) is no package of
the Python index (the name there belongs to another program), so it cannot be scored in the same run.
"""

import asyncio
import json
import time
from collections.abc import Callable
from functools import lru_cache

import tree_sitter_bash
from tree_sitter import Language, Parser

from bot.policy.commands.classify import Classifier
from bot.policy.commands.examples import wrong_examples
from tests.bench.figures import Aim, Report, Spread
from tests.commands_house import COMMANDS, DATA, examples, shipped_catalogue

ROUNDS = 5


async def run(*, quick: bool = False, profile: bool = False) -> Report:
    return await asyncio.to_thread(_run, quick=quick)


def _run(*, quick: bool) -> Report:
    report = Report("classify", "tree-sitter-bash's parse alone; for the start, reading YAML is most of it")
    began = time.thread_time()
    catalogue = shipped_catalogue()
    read = time.thread_time() - began
    classifier = Classifier(catalogue)
    began = time.thread_time()
    wrong = wrong_examples(catalogue, classifier)
    proved = time.thread_time() - began
    report.add("read the catalogue (once, at start)", [read], [max(proved, 1e-6)])
    commands = [command for _, command in examples()][:: 10 if quick else 1]
    classified = _timed(classifier.classify, commands)
    parser = Parser(Language(tree_sitter_bash.language()))
    row = report.add("classify an example of the catalogue", classified, _timed(_parses(parser), commands))
    corpus = _corpus()[:: 10 if quick else 1]
    if corpus:
        report.add(
            "classify a command of the corpus", _timed(classifier.classify, corpus), _timed(_parses(parser), corpus)
        )
    files = len(list(COMMANDS.glob("*.yaml")))
    report.notes.append(
        f"{len(catalogue.programs)} names of programs in {files} files, {len(wrong)} examples do not hold"
    )
    report.notes.append("peer: Dippy is not on the Python index, so it is not in this run")
    report.aims.append(Aim("classify p99", row.measured.p99, 1, "ms"))
    report.sent = len(commands)
    report.kept = sum(1 for command in commands if classifier.classify(command).reason)
    report.aims.append(Aim("classify p50", Spread.of(classified).p50, 0.5, "ms"))
    return report


def _parses(parser: Parser) -> Callable[[str], object]:
    return lambda command: parser.parse(command.encode(errors="replace"))


def _timed(work: Callable[[str], object], commands: list[str]) -> list[float]:
    """Seconds of processor time per command: the neighbours on a shared machine are not what is measured."""
    found: list[float] = []
    for _ in range(ROUNDS):
        for command in commands:
            began = time.thread_time()
            work(command)
            found.append(time.thread_time() - began)
    return found


@lru_cache(maxsize=1)
def _corpus() -> list[str]:
    if not DATA.exists():
        return []
    return [json.loads(line)["command"] for line in DATA.read_text(encoding="utf-8").rstrip("\n").split("\n")]
