"""A worker dies between any two writes; another goes on with the log alone (rules 1 and 4)."""

from dataclasses import dataclass, field

import pytest

from bot.domain import log
from bot.domain.approvals import Ran, Submitted
from bot.domain.calls import ToolCall
from bot.domain.ids import QuestionId
from bot.domain.model import Heard, ModelReply
from bot.domain.outcomes import AskedHuman, HandedOver, Outcome, SpokeOut, Suspended
from bot.domain.ports import Scope
from bot.domain.storage import StaleTokenError
from tests.core_fakes import (
    MemoryJournal,
    ScriptedDoor,
    ScriptedModel,
    Stage,
    calls,
    held,
    ran,
    result,
    says,
    stage,
    to,
    useless,
)
from tests.fakes import NOW, QA


def handing(call: ToolCall, scope: Scope) -> Submitted:
    return Ran(result(call), (log.HandedOff(scope.turn, scope.persona, QA, "show it", None, "f2"),))


def asking(call: ToolCall, scope: Scope) -> Submitted:
    entry = log.Asked(QuestionId("q1"), scope.persona, "a third machine?", ("no",), 0, NOW)
    return Ran(result(call, facts={"question": "q1"}), (entry,))


ANSWERS = {"look": ran, "read": ran, "write": ran, "apply": held, "hand_off": handing, "ask_human": asking}
SCRIPTS: dict[str, tuple[ModelReply, ...]] = {
    "speaks": (calls(to("look"), to("read"), to("write")), calls(to("write"), text="next"), says("Done.")),
    "waits": (calls(to("look")), calls(to("read"), to("apply"), to("apply"))),
    "hands-over": (calls(to("write")), calls(to("look"), to("hand_off"), text="Yours.")),
    "asks": (calls(to("ask_human"), text="One thing."),),
    "stumbles": (useless("truncated", "half a"), useless("empty"), calls(to("look")), says("Here.")),
}
ENDS: dict[str, type[Outcome]] = {
    "speaks": SpokeOut, "waits": Suspended, "hands-over": HandedOver, "asks": AskedHuman, "stumbles": SpokeOut,
}  # fmt: skip


@dataclass
class Lives:
    """A mission over several workers: what the log keeps, and what the world saw."""

    script: tuple[ModelReply, ...]
    journal: MemoryJournal = field(default_factory=lambda: stage().journal)
    submitted: list[str] = field(default_factory=list[str])
    posts: list[str] = field(default_factory=list[str])

    async def live(self, die_at: int = 0) -> object:
        """One worker with a fresh loop, over what the log has. Dies at its `die_at`-th commit: that one is not stored."""
        answered = sum(isinstance(entry, log.ModelReplied) for entry in self.journal.entries)
        journal = MemoryJournal(self.journal.logged)
        journal.fail_at = die_at
        door = ScriptedDoor(ANSWERS)
        there = Stage(ScriptedModel(*self.script[answered:]), door, journal)
        try:
            return await there.run()
        except StaleTokenError:
            return None
        finally:
            self.journal = journal
            self.submitted += [call.id for call in door.submitted]
            self.posts += [post.key for post in journal.posts]


def effects(journal: MemoryJournal) -> list[tuple[str, str]]:
    """What happened, by place among the calls: ids have a counter that a repeated question to the model moves on."""
    found = [entry.result for entry in journal.entries if isinstance(entry, log.ToolReturned)]
    return [(one.tool, one.status) for one in found]


def told(journal: MemoryJournal) -> list[str]:
    shown = (log.Spoke, log.HandedOff, log.Asked, log.ApprovalAsked)
    return [entry.kind for entry in journal.entries[3:] if isinstance(entry, shown)]


def points() -> list[tuple[str, int]]:
    """Every commit of every script: 1 for each question and answer, 1 for each result."""
    return [
        (name, at)
        for name, script in SCRIPTS.items()
        for at in range(1, 2 * len(script) + 1 + sum(len(r.calls) for r in script))
    ]


@pytest.mark.parametrize(("name", "die_at"), points())
async def test_rule_4_a_worker_that_dies_between_two_writes_loses_and_doubles_nothing(name: str, die_at: int) -> None:
    whole = Lives(SCRIPTS[name])
    outcome = await whole.live()
    assert isinstance(outcome, ENDS[name])
    broken = Lives(SCRIPTS[name])
    first = await broken.live(die_at)
    assert first is None, "there is a commit to die at"
    # Strict doors and models: a call that has a result, or a question to the model that has an answer, fails here.
    again = await broken.live()
    assert type(again) is type(outcome)
    assert effects(broken.journal) == effects(whole.journal)
    assert told(broken.journal) == told(whole.journal)
    assert len(set(broken.posts)) == len(broken.posts), "no post twice"


@pytest.mark.parametrize("name", list(SCRIPTS))
async def test_rule_4_a_worker_that_dies_at_every_write_still_gets_there(name: str) -> None:
    whole = Lives(SCRIPTS[name])
    await whole.live()
    broken = Lives(SCRIPTS[name])
    lives = 0
    while (outcome := await broken.live(die_at=2)) is None:  # each life stores one commit
        lives += 1
        assert lives < 60
        if isinstance(broken.journal.entries[-1], log.ModelAsked):  # it asks again: the answer was not stored
            await broken.live(die_at=3)
    assert isinstance(outcome, ENDS[name])
    assert effects(broken.journal) == effects(whole.journal)
    assert told(broken.journal) == told(whole.journal)


@pytest.mark.parametrize("name", list(SCRIPTS))
async def test_a_turn_that_ended_in_the_log_ends_again_without_asking_anybody(name: str) -> None:
    lives = Lives(SCRIPTS[name])
    outcome = await lives.live()
    submitted = list(lives.submitted)
    assert await lives.live() == outcome
    assert lives.submitted == submitted


async def test_a_read_that_ran_and_was_not_logged_runs_again_a_logged_one_does_not() -> None:
    lives = Lives((calls(to("look"), to("write")), says("Done.")))
    await lives.live(die_at=3)  # asked, answered, then the first result is lost
    assert lives.submitted == ["7-2-1-0"]
    await lives.live()
    assert lives.submitted == ["7-2-1-0", "7-2-1-0", "7-2-1-1"]


async def test_a_half_answer_left_by_a_dead_worker_is_followed_by_a_word_of_the_programs() -> None:
    lives = Lives((useless("truncated", "half a"), says("Here.")))
    await lives.live(die_at=3)
    journal = MemoryJournal(lives.journal.logged)
    model = ScriptedModel(says("Here."))
    await Stage(model, ScriptedDoor({}), journal).run()
    assert model.asked[0].messages[-1] == Heard("Go on.")
    assert isinstance(journal.entries[-1], log.Spoke)
