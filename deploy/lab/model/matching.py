"""Which rule answers a conversation, and with what."""

import json
import re
from collections import Counter
from collections.abc import Iterable

from deploy.lab.model.conversation import TASK, Answer, AnswerCall, Conversation, Result
from deploy.lab.model.scenario import FLAGS, Capture, ResultMatch, Rule, Scenario, When
from deploy.lab.model.templates import UnresolvedError, render


class Player:
    """Plays one scenario. Remembers per mission how often each rule has answered, and nothing else."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.matches: Counter[tuple[str, str, str]] = Counter()  # (mission, persona, rule)

    def answer(self, conversation: Conversation) -> tuple[Rule, Answer] | None:
        """The first rule that applies, counted as used, and its answer; None where no rule does."""
        seen = conversation.without_mistakes()
        for rule in self.scenario.personas.get(seen.persona, ()):
            answer = self._tried(rule, seen)
            if answer is not None:
                self.matches[(seen.mission, seen.persona, rule.rule)] += 1
                return rule, answer
        return None

    def unused(self) -> list[str]:
        used = {(persona, rule) for _, persona, rule in self.matches}
        return [f"{who}.{rule.rule}" for who, rule in self.scenario.rules() if (who, rule.rule) not in used]

    def _tried(self, rule: Rule, conversation: Conversation) -> Answer | None:
        counts = {
            name: count
            for (mission, persona, name), count in self.matches.items()
            if (mission, persona) == (conversation.mission, conversation.persona)
        }
        if counts.get(rule.rule, 0) >= rule.at_most:
            return None
        groups = _groups_where(rule.when, conversation, counts)
        if groups is None:
            return None
        try:
            return self._rendered(rule, conversation, groups)
        except UnresolvedError:
            return None

    def _rendered(self, rule: Rule, conversation: Conversation, groups: dict[str, str]) -> Answer:
        captured = groups | {name: _captured(capture, conversation) for name, capture in rule.capture.items()}
        known = self.scenario.values | captured

        def look_up(name: str) -> str:
            if name in known:
                return known[name]
            return _built_in(name, conversation)

        calls = [
            AnswerCall(call.tool, json.dumps(render(call.arguments, look_up), ensure_ascii=False))
            for call in rule.calls
        ]
        return Answer(str(render(rule.say, look_up)).strip(), str(render(rule.think, look_up)).strip(), tuple(calls))


def _groups_where(when: When, conversation: Conversation, counts: dict[str, int]) -> dict[str, str] | None:
    """The named groups of all patterns where every condition holds, else None."""
    if not _plain_conditions_hold(when, conversation, counts):
        return None
    texts = [(when.heard, conversation.heard)]
    texts += [(pattern, conversation.section(name)) for name, pattern in when.sections.items()]
    wanted: list[tuple[ResultMatch, Result | None]] = [
        (match, conversation.latest(match.tool) if match.tool else None) for match in when.had
    ]
    if when.result is not None:
        wanted.append((when.result, conversation.results[-1] if conversation.results else None))
    for match, result in wanted:
        if result is None or not _fits(match, result):
            return None
        texts.append((match.text, result.text))
    groups: dict[str, str] = {}
    for pattern, text in texts:
        found = re.search(pattern, text, FLAGS)
        if found is None or (pattern and not text):
            return None
        groups |= {name: value for name, value in found.groupdict().items() if value is not None}
    return groups


def _plain_conditions_hold(when: When, conversation: Conversation, counts: dict[str, int]) -> bool:
    return (
        (when.last is None or bool(conversation.turns and conversation.turns[-1].role == when.last))
        and all(_called(wanted, conversation) for wanted in when.called)
        and not any(_called(wanted, conversation) for wanted in when.not_called)
        and all(tool in conversation.tools for tool in when.offered)
        and not any(_fits(match, result) for match in when.lacks for result in conversation.results)
        and all(counts.get(rule, 0) >= least for rule, least in when.matched.items())
        and not any(counts.get(rule) for rule in when.not_matched)
    )


def _called(wanted: str, conversation: Conversation) -> bool:
    tool, _, pattern = wanted.partition(" ")
    return any(call.tool == tool and re.search(pattern, call.raw, FLAGS) for call in conversation.calls)


def _fits(match: ResultMatch, result: Result) -> bool:
    statuses = [match.status] if isinstance(match.status, str) else match.status
    return (
        (not match.tool or match.tool == result.tool)
        and (not match.status or result.status in statuses)
        and re.search(match.text, result.text, FLAGS) is not None
    )


def _captured(capture: Capture, conversation: Conversation) -> str:
    for text in _sources(capture.source, conversation):
        found = list(re.finditer(capture.match, text, FLAGS))
        values = [item.group(1) if item.re.groups else item.group(0) for item in found]
        values = [value for value in values if value is not None]
        if values:
            return ", ".join(values) if capture.all else values[-1]
    if capture.default is None:
        raise UnresolvedError(capture.source)
    return capture.default


def _sources(source: str, conversation: Conversation) -> Iterable[str]:
    """The texts that a capture looks into, newest first."""
    kind, _, name = source.partition(" ")
    match kind:
        case "heard":
            return [conversation.heard]
        case "task":
            return [conversation.section(TASK)]
        case "section":
            return [conversation.section(name)]
        case "call":
            return [call.raw for call in reversed(conversation.calls) if call.tool == name]
        case _:
            wanted = [result for result in reversed(conversation.results) if not name or result.tool == name]
            return [result.text for result in wanted]


def _built_in(name: str, conversation: Conversation) -> str:
    if name == "result_id" and conversation.results:
        return conversation.results[-1].id
    if name.startswith("result_id."):
        result = conversation.latest(name.removeprefix("result_id."))
        if result is not None:
            return result.id
    texts = {
        "mission": conversation.mission,
        "persona": conversation.persona,
        "heard": conversation.heard,
        "task": conversation.section(TASK),
    }
    if name in texts:
        return texts[name]
    raise UnresolvedError(name)
