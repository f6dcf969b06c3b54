"""Every entry proves itself: its examples are classified when the catalogue is loaded."""

from collections.abc import Iterator

from bot.domain.calls import CallClass
from bot.policy.commands.catalogue import Catalogue
from bot.policy.commands.classify import Classifier
from bot.policy.commands.entries import Entry, Judgement, Program
from bot.policy.problems import PolicyError


def verify_examples(catalogue: Catalogue, classifier: Classifier) -> None:
    """Raises PolicyError for the first example that is not what its entry says, or a class without an example."""
    for program in {id(program): program for program in catalogue.programs.values()}.values():
        for wrong in _wrong(program, classifier):
            raise wrong


def wrong_examples(catalogue: Catalogue, classifier: Classifier) -> list[str]:
    """All of them, for whoever writes an entry."""
    programs = {id(program): program for program in catalogue.programs.values()}
    return [str(wrong) for program in programs.values() for wrong in _wrong(program, classifier)]


def _wrong(program: Program, classifier: Classifier) -> Iterator[PolicyError]:
    for cls, command in program.match:
        answer = classifier.classify(command)
        if answer.cls is not cls:
            wrong = f"match.{cls}: {command!r} is {answer}"
            yield PolicyError(program.file, program.name, wrong, "Correct the entry or the example")
    for cls, command in program.not_match:
        answer = classifier.classify(command)
        if answer.cls is cls:
            wrong = f"not_match.{cls}: {command!r} is {answer}"
            yield PolicyError(program.file, program.name, wrong, "Correct the entry or the example")
    shown = {cls for cls, _ in program.match}
    for cls in sorted(set(_classes(program.entry)) - shown):
        yield PolicyError(program.file, program.name, f"no example shows its class {cls}", f"Add one to match.{cls}")


def _classes(entry: Entry) -> Iterator[CallClass]:
    """Every class that the verbs of a program have by themselves."""
    for judgement in (entry.judgement, entry.bare):
        if isinstance(judgement, Judgement):
            yield judgement.cls
    for below in (*entry.verbs.values(), *(verb for _, verb in entry.patterns)):
        yield from _classes(below)
