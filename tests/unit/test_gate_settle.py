"""From an approval to exactly one run: what is checked again, what voids it, what a crash leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.approvals import ApprovalRequest
from bot.domain.calls import CallClass, Effect, Target
from bot.domain.contract import Finding
from bot.domain.ids import RequestId, Token
from bot.domain.people import Human, Role
from bot.domain.ports import ArgumentError
from bot.domain.storage import StaleTokenError, StoreUnavailableError
from bot.gate import ExecutionLedger
from bot.policy.authorise import Authoriser
from bot.policy.environments import EnvironmentMap, Mapped
from tests.fakes import BO, CHRIS, THREAD, mission, scope
from tests.gate_house import POLICIES, REVISION, SECRET, House, verdict


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_rule_13_an_approved_request_runs_once_and_keeps_its_result(house: House) -> None:
    request = await house.approved(BO)
    first = await house.settle(request)
    assert (first.request.status, first.result.status, first.result.text) == ("done", "ok", "Applied: 2 created")
    assert first.result.digest == request.digest
    assert first.result.changed
    again = await house.settle(request)
    assert (again.request.status, again.result) == ("done", first.result)
    assert house.apply.ran == 1
    assert house.audit.kinds()[-2:] == ["execution.begun", "execution.ended"]


async def test_rule_13_two_settles_at_once_run_once(house: House) -> None:
    request = await house.approved(BO)
    answers = await asyncio.gather(*(house.settle(request) for _ in range(4)), return_exceptions=True)
    assert house.apply.ran == 1
    assert any(not isinstance(answer, BaseException) and answer.request.status == "done" for answer in answers)


async def test_rule_13_what_the_store_forgot_the_ledger_remembers(house: House) -> None:
    request = await house.approved(BO)
    await house.settle(request)
    house.approvals.requests[request.id] = request  # an old copy of the store was restored
    answer = await house.settle(request)
    assert (answer.request.status, house.apply.ran) == ("unknown_outcome", 1)
    assert "not run again" in answer.result.text
    assert house.audit.kinds()[-1] == "execution.unknown"


async def test_a_request_that_waits_is_left_alone(house: House) -> None:
    request = await house.held()
    answer = await house.settle(request)
    assert (answer.request.status, answer.result.status, house.apply.ran) == ("pending", "held", 0)


async def test_a_request_that_is_not_stored_is_an_error_of_the_store(house: House) -> None:
    with pytest.raises(StoreUnavailableError):
        await house.gate.settle(RequestId("0" * 32), house.token, scope(), house.watch)


async def test_rule_12_a_denied_request_tells_the_agent_the_reason(house: House) -> None:
    request = await house.held()
    await house.vote(request.id, BO, "deny", reason="use pve2")
    answer = await house.settle(request)
    assert answer.result.status == "denied"
    assert answer.result.text == "Denied by a human: “use pve2”. Do what the reason asks; never the same again."
    assert answer.result.facts == {"denied_revision": REVISION, "denied_because": "use pve2", "denied_alike": []}
    other = await house.held(number=1, more=1)
    await house.vote(other.id, BO, "deny")
    assert "no reason given" in (await house.settle(other)).result.text


Change = Callable[[House, ApprovalRequest], None]


def _move_pin(house: House, request: ApprovalRequest) -> None:
    house.apply.state_pins = {"serial": "4"}


def _drop_pin(house: House, request: ApprovalRequest) -> None:
    house.apply.state_pins = {}


def _new_pin(house: House, request: ApprovalRequest) -> None:
    house.apply.state_pins = {"serial": "3", "lock file": "abc"}


def _break_pins(house: House, request: ApprovalRequest) -> None:
    house.apply.raises["pins"] = OSError("state is away")


def _break_parse(house: House, request: ApprovalRequest) -> None:
    house.apply.raises["parse"] = RuntimeError("boom")


def _refuse_arguments(house: House, request: ApprovalRequest) -> None:
    house.apply.raises["parse"] = ArgumentError("plan is missing")


def _other_policies(house: House, request: ApprovalRequest) -> None:
    files = {f"policies/{path.name}": path.read_text() for path in POLICIES.glob("*.cedar")}
    house.set(authoriser=Authoriser((POLICIES / "schema.cedarschema").read_text(), files, "v2"))


def _other_environment(house: House, request: ApprovalRequest) -> None:
    rules = tuple(Mapped("lab", target.kind, target.name) for target in request.effect.targets)
    house.set(environments=EnvironmentMap(("lab", "production"), rules))


def _other_bytes(house: House, request: ApprovalRequest) -> None:
    binding = {**request.prepared.binding, "plan": "another"}
    house.approvals.requests[request.id] = replace(request, prepared=replace(request.prepared, binding=binding))


def _other_card(house: House, request: ApprovalRequest) -> None:
    effect = replace(request.effect, items=())
    house.approvals.requests[request.id] = replace(request, prepared=replace(request.prepared, effect=effect))


def _unbindable(house: House, request: ApprovalRequest) -> None:
    prepared = replace(request.prepared, binding={"share": 0.5})
    house.approvals.requests[request.id] = replace(request, prepared=prepared)


def _role_lost(house: House, request: ApprovalRequest) -> None:
    house.people.humans[BO] = Human(BO, "bo", frozenset({Role.REQUESTER}))


def _account_gone(house: House, request: ApprovalRequest) -> None:
    house.people.humans[BO] = Human(BO, "bo", frozenset(), "deactivated")


def _became_requester(house: House, request: ApprovalRequest) -> None:
    house.approvals.requests[request.id] = replace(request, requesters=request.requesters | {BO})


def _no_votes(house: House, request: ApprovalRequest) -> None:
    house.approvals.requests[request.id] = replace(request, votes=(replace(request.votes[0], ballot="deny"),))


def _verdict_fell(house: House, request: ApprovalRequest) -> None:
    finding = Finding("f1", "open-port", "cp1", "critical", "22 is open")
    house.state = mission(verdicts={REVISION: verdict(finding)})


def _tool_gone(house: House, request: ApprovalRequest) -> None:
    house.set(tools={})


def _tool_taken(house: House, request: ApprovalRequest) -> None:
    house.crew["builder"] = ()  # pyright: ignore[reportArgumentType] # a plain text is the same key


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (_move_pin, "serial changed: it was 3, it is 4"),
        (_drop_pin, "serial changed: it was 3, it is nothing"),
        (_new_pin, "lock file changed: it was nothing, it is abc"),
        (_break_pins, "its state could not be read again: OSError: state is away"),
        (_break_parse, "its state could not be read again: the arguments broke"),
        (_refuse_arguments, "its arguments no longer fit the tool: plan is missing"),
        (_other_policies, "the policies changed since it was asked"),
        (_other_environment, "it belongs to lab now, not to production"),
        (_other_bytes, "what would run is not what was approved"),
        (_other_card, "what would run is not what was approved"),
        (_unbindable, "what would run cannot be bound"),
        (_role_lost, "bo may no longer approve it, so 0 of 1 votes count"),
        (_account_gone, "bo may no longer approve it"),
        (_became_requester, "bo may no longer approve it"),
        (_no_votes, "nobody may no longer approve it"),
        (_verdict_fell, "no passing verdict on exactly this plan"),
        (_tool_gone, "builder no longer has terraform_apply"),
        (_tool_taken, "builder no longer has terraform_apply"),
    ],
)
async def test_rule_11_any_difference_voids_the_approval(house: House, change: Change, note: str) -> None:
    request = await house.approved(BO)
    change(house, request)
    answer = await house.settle(request)
    assert answer.request.status == "superseded"
    assert note in answer.request.note
    assert answer.result.status == "refused"
    assert note in answer.result.text
    assert (house.apply.ran, house.audit.kinds()[-1]) == (0, "request.superseded")
    assert (await house.settle(request)).request.status == "superseded"


async def test_rule_11_pins_that_hold_let_it_run(house: House) -> None:
    request = await house.approved(CHRIS)
    house.apply.state_pins = {"serial": "3"}
    assert (await house.settle(request)).request.status == "done"


async def test_rule_5_stop_before_the_run_cancels_it(house: House) -> None:
    request = await house.approved(BO)
    house.watch.stops = 1
    answer = await house.settle(request)
    assert (answer.request.status, answer.result.status, house.apply.ran) == ("cancelled", "interrupted", 0)


async def test_rule_5_a_stop_that_the_worker_has_not_seen_yet_stops_the_consumption(house: House) -> None:
    request = await house.approved(BO)
    await house.leases.raise_stop(THREAD.lane, "press")
    answer = await house.settle(request)
    assert (answer.request.status, house.apply.ran) == ("cancelled", 0)
    assert "execution.refused" in house.audit.kinds()


async def test_rule_12_an_approval_that_is_not_used_in_time_is_void(house: House) -> None:
    request = await house.approved(BO)
    house.clock.move(301)
    answer = await house.settle(request)
    assert (answer.request.status, answer.request.note) == ("expired", "approved, and not started in time")
    assert (answer.result.status, house.apply.ran) == ("refused", 0)


async def test_rule_1_a_stale_token_runs_nothing(house: House) -> None:
    request = await house.approved(BO)
    house.token = Token(THREAD.lane, 0, "old")
    with pytest.raises(StaleTokenError):
        await house.settle(request)
    assert house.apply.ran == 0


async def test_rule_13_a_start_that_is_not_durable_runs_nothing(house: House) -> None:
    request = await house.approved(BO)
    house.approvals.durable = False
    with pytest.raises(StoreUnavailableError, match="nothing ran"):
        await house.settle(request)
    assert house.apply.ran == 0


async def test_a_stored_request_of_another_digest_is_void(house: House) -> None:
    request = await house.approved(BO)

    async def swap() -> None:
        house.approvals.requests[request.id] = replace(request, digest=request.digest[::-1])  # pyright: ignore[reportArgumentType] # a Digest is text

    house.approvals.before_consume = swap
    assert (await house.settle(request)).request.status == "superseded"
    assert house.apply.ran == 0


async def _cancelled(house: House, request: ApprovalRequest) -> None:
    await house.approvals.end(request.id, "cancelled", "STOP was pressed")


async def _taken(house: House, request: ApprovalRequest) -> None:
    house.approvals.requests[request.id] = replace(request, status="executing")


@pytest.mark.parametrize("meanwhile", [_cancelled, _taken])
async def test_who_was_faster_wins(
    house: House, meanwhile: Callable[[House, ApprovalRequest], Awaitable[None]]
) -> None:
    request = await house.approved(BO)
    house.approvals.before_consume = lambda: meanwhile(house, request)
    if meanwhile is _taken:
        with pytest.raises(StaleTokenError):
            await house.settle(request)
    else:
        assert (await house.settle(request)).request.status == "cancelled"
    assert house.apply.ran == 0


async def test_voiding_what_somebody_ended_first_tells_their_end(house: House) -> None:
    request = await house.approved(BO)
    house.apply.state_pins = {"serial": "9"}
    read = house.apply.pins

    async def pins_and_cancel(*arguments: object) -> object:
        await _cancelled(house, request)
        return await read(*arguments)  # pyright: ignore[reportArgumentType] # passed on

    house.apply.pins = pins_and_cancel  # pyright: ignore[reportAttributeAccessIssue] # a race
    answer = await house.settle(request)
    assert (answer.request.status, answer.request.note) == ("cancelled", "STOP was pressed")


async def test_rule_13_a_tool_that_raises_leaves_an_unknown_outcome(house: House) -> None:
    request = await house.approved(BO)
    house.apply.raises["run"] = RuntimeError(f"lost {SECRET}")
    answer = await house.settle(request)
    assert (answer.request.status, answer.result.status, answer.result.changed) == (
        "unknown_outcome",
        "unknown_outcome",
        True,
    )
    assert "RuntimeError: lost ‹secret:pve_token›" in answer.result.text
    assert (await house.settle(request)).result == answer.result
    assert house.apply.ran == 1


async def test_a_tool_that_says_unknown_names_its_orphans(house: House) -> None:
    request = await house.approved(BO)
    house.apply.status, house.apply.facts = "unknown_outcome", {"orphans": ["vm 101", "vm 102"]}
    answer = await house.settle(request)
    assert (answer.request.status, answer.orphans) == ("unknown_outcome", ("vm 101", "vm 102"))


async def test_a_failed_run_is_done_and_failed(house: House) -> None:
    request = await house.approved(BO)
    house.apply.status = "failed"
    answer = await house.settle(request)
    assert (answer.request.status, answer.result.status) == ("done", "failed")


async def test_a_lost_lease_leaves_the_request_for_its_next_holder(house: House) -> None:
    request = await house.approved(BO)

    async def lose() -> None:
        house.watch.living = False

    house.apply.on_run = lose
    with pytest.raises(StaleTokenError):
        await house.settle(request)
    assert house.approvals.requests[request.id].status == "executing"


async def test_nothing_runs_when_the_ledger_cannot_be_written(house: House, tmp_path: Path) -> None:
    request = await house.approved(BO)
    house.set(ledger=ExecutionLedger(tmp_path / "no" / "folder"))
    with pytest.raises(StoreUnavailableError):
        await house.settle(request)
    assert house.apply.ran == 0


async def test_nothing_runs_when_the_begin_cannot_be_audited(house: House) -> None:
    request = await house.approved(BO)
    house.audit.broken = True
    with pytest.raises(StoreUnavailableError):
        await house.settle(request)
    assert (house.apply.ran, house.approvals.requests[request.id].status) == (0, "approved")


async def crashed(house: House, **given: str) -> ApprovalRequest:
    """A request whose worker died after consuming it."""
    request = await house.approved(BO, **given)
    begun = replace(request, status="executing")
    house.approvals.requests[request.id] = begun
    return begun


async def test_rule_13_recovery_looks_and_never_runs_again(house: House) -> None:
    request = await crashed(house)
    house.apply.text = "All 2 machines exist and are in the state."
    answer = await house.settle(request)
    assert (answer.request.status, house.apply.ran, house.apply.recovered) == ("done", 0, 1)
    assert house.audit.kinds()[-1] == "execution.recovered"


async def test_rule_13_recovery_that_proves_nothing_is_an_unknown_outcome(house: House) -> None:
    request = await crashed(house)
    house.apply.status, house.apply.facts = "unknown_outcome", {"orphans": ["vm 101"]}
    answer = await house.gate.recover(request, scope(house.state), house.watch)
    assert (answer.request.status, answer.orphans) == ("unknown_outcome", ("vm 101",))


@pytest.mark.parametrize(
    "breakage", [{"recover": OSError("no disk")}, {"parse": ArgumentError("plan is missing")}, {"parse": OSError("x")}]
)
async def test_rule_13_recovery_that_breaks_is_an_unknown_outcome(house: House, breakage: dict[str, Exception]) -> None:
    request = await crashed(house)
    house.apply.raises.update(breakage)
    answer = await house.gate.recover(request, scope(house.state), house.watch)
    assert (answer.request.status, answer.result.changed) == ("unknown_outcome", True)
    assert house.apply.ran == 0


async def test_recovery_without_the_tool_is_an_unknown_outcome(house: House) -> None:
    request = await crashed(house)
    house.set(tools={})
    answer = await house.gate.recover(request, scope(house.state), house.watch)
    assert "there is no tool terraform_apply now" in answer.result.text


async def test_recovery_whose_lease_ends_leaves_it_to_the_next(house: House) -> None:
    request = await crashed(house)
    house.watch.living = False
    with pytest.raises(StaleTokenError):
        await house.gate.recover(request, scope(house.state), house.watch)
    assert house.approvals.requests[request.id].status == "executing"


async def test_an_interrupted_read_is_simply_asked_for_again(house: House) -> None:
    house.look.effect = Effect(CallClass.SENSITIVE_READ, "s", "it shows a secret")
    request = await crashed(house, tool="proxmox_read")
    answer = await house.gate.recover(request, scope(house.state), house.watch)
    assert (answer.request.status, answer.result.status, house.look.recovered) == ("done", "interrupted", 0)


async def test_an_approved_unknown_runs_and_its_crash_is_looked_at(house: House) -> None:
    house.plan.effect = Effect(CallClass.UNKNOWN, "allow-list", "not on the list", targets=(Target("node", "pve1"),))
    request = await house.approved(BO, tool="terraform_plan")
    assert (await house.settle(request)).result.text == "looked"
    assert house.plan.ran == 1


async def test_a_finished_request_without_a_result_is_unknown(house: House) -> None:
    request = await house.approved(BO)
    house.approvals.requests[request.id] = replace(request, status="done")
    assert (await house.settle(request)).result.status == "unknown_outcome"


async def test_rule_12_a_timeout_neither_approves_nor_denies(house: House) -> None:
    request = await house.held()
    house.clock.move(request.terms.expires_s - 1)
    assert await house.gate.expire(request.id) is None
    house.clock.move(1)
    expired = await house.gate.expire(request.id)
    assert expired is not None
    assert (expired.status, expired.note) == ("expired", "nobody decided in time")
    assert await house.gate.expire(request.id) == expired
    answer = await house.settle(request)
    assert "Nobody denied it" in answer.result.text
    assert house.apply.ran == 0


async def test_an_approval_that_nobody_started_expires(house: House) -> None:
    request = await house.approved(BO)
    house.clock.move(299)
    assert await house.gate.expire(request.id) is None
    house.clock.move(1)
    expired = await house.gate.expire(request.id)
    assert expired is not None
    assert expired.note == "approved, and not started in time"


async def test_what_is_not_due_does_not_expire(house: House) -> None:
    assert await house.gate.expire(RequestId("0" * 32)) is None
    request = await house.held()
    await house.vote(request.id, BO, "deny")
    assert await house.gate.expire(request.id) is None


async def test_rule_5_stop_cancels_what_waits_in_this_thread_only(house: House) -> None:
    request = await house.held()
    elsewhere = replace(request, id=RequestId("e" * 32), thread=replace(THREAD, ts="2.2"))
    house.approvals.requests[elsewhere.id] = elsewhere
    cancelled = await house.gate.cancel_all(THREAD, "STOP was pressed")
    assert [one.id for one in cancelled] == [request.id]
    assert house.approvals.requests[elsewhere.id].status == "pending"
    assert await house.gate.cancel_all(THREAD, "STOP was pressed") == ()


async def test_rule_5_what_began_before_the_stop_is_not_reported_as_cancelled(house: House) -> None:
    request = await house.held()
    end = house.approvals.end

    async def begin_first(request_id: RequestId, *arguments: object) -> bool:
        await _taken(house, request)
        return await end(request_id, *arguments)  # pyright: ignore[reportArgumentType] # passed on

    house.approvals.end = begin_first  # pyright: ignore[reportAttributeAccessIssue] # a race
    assert await house.gate.cancel_all(THREAD, "STOP was pressed") == ()


def test_the_ledger_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "executed"
    path.write_text("aaaa\nbbb")
    ledger = ExecutionLedger(path)
    assert not ledger.begin(RequestId("aaaa"))
    assert ledger.begin(RequestId("bbbb"))
    assert not ExecutionLedger(path).begin(RequestId("bbbb"))
    assert path.read_text() == "aaaa\nbbb\nbbbb\n"
