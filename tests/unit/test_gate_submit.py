"""What the gate answers to a proposed call."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.approvals import Held, Ran, Refused
from bot.domain.calls import CallClass, Effect, Target, ToolResult
from bot.domain.contract import Finding
from bot.domain.ids import CallId, Digest
from bot.domain.state import CallRecord, Denial, Exchange, OpenRequest
from bot.domain.storage import StoreUnavailableError
from bot.gate.boundary import MOST, PIECE
from tests.fakes import ANA, ARCHITECT, BO, BUILDER, CHRIS, NOW, QA, SENTINEL, THREAD, call, mission, scope
from tests.gate_house import CHANGE, DESTROY, REVISION, SECRET, House, reviewed, verdict


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_an_allowed_read_runs_and_is_audited_before_it_runs(house: House) -> None:
    async def audited_by_now() -> None:
        assert house.audit.kinds() == ["call.allowed"]

    house.look.on_run = audited_by_now
    answer = await house.propose("proxmox_read", ARCHITECT, what="nodes")
    assert isinstance(answer, Ran)
    assert (answer.result.status, answer.result.text, house.look.ran) == ("ok", "looked", 1)
    assert house.audit.events[0].facts["policies"] == ["policies/reads.cedar: everyone"]


async def test_rule_9_the_clock_runs_a_read_and_asks_nobody_for_anything_else(house: House) -> None:
    scoped = scope(house.state, BUILDER)
    looked = await house.gate.probe(call("proxmox_read", BUILDER, what="nodes"), scoped, house.watch)
    assert isinstance(looked, Ran) and looked.result.status == "ok"
    for number, cls in enumerate((CallClass.CHANGE, CallClass.DESTROY, CallClass.UNKNOWN), 1):
        house.apply.effect = replace(CHANGE, cls=cls)
        answer = await house.gate.probe(call("terraform_apply", BUILDER, number), scoped, house.watch)
        assert isinstance(answer, Refused) and answer.result.facts == {"asks": True}, cls
    assert (await house.approvals.pending(), house.apply.ran) == ([], 0)
    assert "request.asked" not in house.audit.kinds()


async def test_rule_9_an_unknown_tool_is_refused_with_the_tools_there_are(house: House) -> None:
    text = await house.refused(tool="request_security_audit")
    assert text == "There is no tool 'request_security_audit'. You have: terraform_apply, proxmox_read, terraform_plan."
    assert house.audit.events[0].facts["why"] == "unknown_tool"


async def test_rule_9_a_tool_of_somebody_else_is_refused(house: House) -> None:
    assert "sentinel does not have terraform_plan" in await house.refused(tool="terraform_plan", persona=SENTINEL)
    house.crew[SENTINEL] = ()
    assert "no tools" in await house.refused(tool="terraform_plan", persona=SENTINEL)
    assert house.plan.ran == 0


async def test_rule_9_a_tool_without_a_policy_is_denied(house: House) -> None:
    house.look.name = "invented"
    house.set(tools={"invented": house.look}, crew={BUILDER: ("invented",)})
    assert "no policy lets builder call invented as read" in await house.refused(tool="invented")
    assert house.look.ran == 0


async def test_rule_9_a_failing_audit_record_means_that_nothing_runs(house: House) -> None:
    house.audit.broken = True
    with pytest.raises(StoreUnavailableError):
        await house.propose("proxmox_read")
    with pytest.raises(StoreUnavailableError):
        await house.propose("terraform_apply")
    assert (house.look.ran, house.approvals.requests) == (0, {})


async def test_rule_9_a_changing_tool_never_runs_in_submit_even_as_a_read(house: House) -> None:
    house.look.durable = True
    text = await house.refused(tool="proxmox_read")
    assert "only through an approved request" in text
    assert house.look.ran == 0


async def test_bad_arguments_are_refused_with_the_hint(house: House) -> None:
    house.look.required = ("what",)
    assert await house.refused(tool="proxmox_read") == (
        "Bad arguments for proxmox_read: what is missing; the schema is {what: string}"
    )


async def test_what_a_tool_will_not_prepare_is_refused_in_its_words(house: House) -> None:
    house.look.cannot = "No such node. Nodes: pve1, pve2."
    assert await house.refused(tool="proxmox_read") == "No such node. Nodes: pve1, pve2."
    assert house.audit.events[0].facts["why"] == "fake-cannot"


@pytest.mark.parametrize("step", ["parse", "prepare"])
async def test_a_tool_that_raises_before_it_ran_is_a_refusal(house: House, step: str) -> None:
    house.look.raises[step] = RuntimeError(f"boom {SECRET}")
    text = await house.refused(tool="proxmox_read")
    assert "RuntimeError: boom ‹secret:pve_token›" in text


async def test_a_read_that_raises_is_a_failed_result_and_an_event(house: House) -> None:
    house.look.raises["run"] = OSError("no route to host")
    answer = await house.propose("proxmox_read")
    assert isinstance(answer, Ran)
    assert (answer.result.status, answer.result.text) == ("failed", "proxmox_read failed: OSError: no route to host")
    assert house.audit.kinds() == ["call.allowed", "call.broke"]


async def test_a_read_that_hangs_ends_with_its_time(house: House) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    house.look.on_run, house.look.timeout_s = hang, 0.02
    answer = await house.propose("proxmox_read")
    assert isinstance(answer, Ran)
    assert answer.result.text == "proxmox_read failed: no answer within 0 s"


async def test_store_errors_of_a_tool_go_up(house: House) -> None:
    house.look.raises["run"] = StoreUnavailableError("away")
    with pytest.raises(StoreUnavailableError):
        await house.propose("proxmox_read")


async def test_rule_22_results_facts_words_and_audit_are_redacted(house: House) -> None:
    house.look.text, house.look.facts = f"token is {SECRET}", {"password": "x1", "seen": SECRET}
    answer = await house.propose("proxmox_read", arguments={"q": SECRET})
    assert isinstance(answer, Ran)
    assert SECRET not in str(answer)
    assert answer.result.facts == {
        "password": house.redactor.placeholder_of("x1", "named"), "seen": "‹secret:pve_token›",
    }  # fmt: skip
    request = await house.held(words=f"with {SECRET}")
    assert SECRET not in request.words
    assert SECRET not in str(house.audit.events)


@pytest.mark.parametrize("at", [PIECE - 10, PIECE * 2 - 1, MOST - 10])
async def test_rule_22_a_very_long_result_is_redacted_in_pieces_and_before_it_is_cut(house: House, at: int) -> None:
    line = "a line of a log\n"
    filling = line * (at // len(line) - 1)
    house.look.text = f"{filling}{'x' * (at - len(filling) - 1)} {SECRET} end\n{line * 40_000}"
    answer = await house.propose("proxmox_read")
    assert isinstance(answer, Ran)
    assert answer.result.artifact is not None
    stored = await house.artifacts.get(answer.result.artifact)
    assert stored is not None
    text = stored.decode()
    assert SECRET[:8] not in text
    assert text.startswith(filling)
    assert at > MOST - 20 or "‹secret:pve_token› end" in text


async def test_a_long_result_is_an_artifact_with_head_and_tail_for_the_model(house: House) -> None:
    house.look.text = "begin " + "x" * 20_000 + " end"
    answer = await house.propose("proxmox_read")
    assert isinstance(answer, Ran)
    result = answer.result
    assert result.artifact is not None
    assert await house.artifacts.get(result.artifact) == house.look.text.encode()
    assert len(result.text) < 6200
    assert result.text.startswith("begin ")
    assert result.text.endswith(" end")
    assert f"14,010 of 20,010 characters left out: read_artifact {result.artifact}" in result.text
    assert result.size == 20_010


async def test_two_megabytes_of_text_are_bounded(house: House) -> None:
    house.look.text = "x" * (MOST + 5)
    answer = await house.propose("proxmox_read")
    assert isinstance(answer, Ran)
    assert answer.result.size < MOST + 100
    assert "2,000,005 characters, 2,000,000 are kept" in answer.result.text


async def test_rule_5_after_stop_nothing_new_starts_and_nothing_is_asked(house: House) -> None:
    house.watch.stops = 1
    answer = await house.propose("proxmox_read")
    assert isinstance(answer, Refused)
    assert (answer.result.status, house.look.ran) == ("interrupted", 0)


async def test_rule_5_a_stop_while_the_request_is_made_cancels_it(house: House) -> None:
    house.approvals.after_create = lambda: house.leases.raise_stop(THREAD.lane, "press")
    answer = await house.propose()
    assert isinstance(answer, Refused)
    assert [request.status for request in house.approvals.requests.values()] == ["cancelled"]
    assert house.audit.kinds()[-1] == "request.cancelled"


async def test_a_change_is_held_with_its_terms(house: House) -> None:
    request = await house.held(plan=REVISION, words=" Creates the machines. ")
    assert (request.environment, request.terms.quorum, request.terms.expires_s) == ("production", 1, 4 * 3600)
    assert request.terms.exclude_requesters
    assert request.reason == (
        "changes in production need 1 approver who did not ask for them (policies/terraform.cedar: change)"
    )
    assert request.words == "Creates the machines."
    assert (request.expires_at - request.created_at).total_seconds() == 4 * 3600
    assert house.apply.ran == 0
    assert house.audit.kinds() == ["request.asked"]
    answer = await house.propose(plan=REVISION)
    assert isinstance(answer, Held)
    assert answer.result.status == "held"
    assert f"request {request.short}" in answer.result.text


async def test_rule_12_everyone_whose_words_led_here_is_a_requester(house: House) -> None:
    exchange = Exchange(BUILDER, (), frozenset({CHRIS}))
    house.state = reviewed(amendments=((BO, "and one more"),), exchanges={BUILDER: exchange})
    request = await house.held()
    assert request.requesters == {ANA, BO, CHRIS}


async def test_the_same_call_waits_once_and_a_second_is_told_so(house: House) -> None:
    first = await house.propose(number=0)
    assert isinstance(first, Held)
    assert first.fresh
    open_request = OpenRequest(first.request.id, CallId("7-1-0-0"), BUILDER, first.request.digest, "apply", NOW)
    house.state = reviewed(requests={first.request.id: open_request})
    again = await house.propose(number=1)
    assert isinstance(again, Held)
    assert (again.request.id, again.fresh, again.result.status) == (first.request.id, False, "refused")
    assert "waits for people already" in again.result.text
    assert len(house.approvals.requests) == 1
    assert house.audit.kinds()[-1] == "request.repeated"


async def test_after_a_crash_between_asking_and_logging_the_request_is_fresh_again(house: House) -> None:
    first = await house.held(number=0)
    again = await house.propose(number=0)
    assert isinstance(again, Held)
    assert (again.request.id, again.fresh, again.result.status) == (first.id, True, "held")


async def test_a_request_that_the_store_lost_is_asked_again(house: House) -> None:
    first = await house.held()
    house.state = reviewed(requests={first.id: OpenRequest(first.id, CallId("x"), BUILDER, first.digest, "apply", NOW)})
    house.approvals.requests.clear()
    assert (await house.held()).digest == first.digest


async def test_rule_12_what_a_human_denied_is_not_asked_again(house: House) -> None:
    request = await house.held()
    house.state = reviewed(denials=(Denial(request.digest, "too many machines", (BO,)),))
    answer = await house.propose(number=1)
    assert isinstance(answer, Refused)
    assert answer.result.status == "denied"
    assert "“too many machines”" in answer.result.text
    house.state = reviewed(denials=(Denial(Digest("other"), "x", ()), Denial(request.digest, "", (BO,))))
    assert "no reason given" in await house.refused(number=2)


async def test_rule_12_the_same_code_planned_again_is_not_asked_again_after_a_deny(house: House) -> None:
    house.apply.alike = ("code a, serial 3", "changes a, serial 3")
    request = await house.held(plan="a")
    await house.vote(request.id, BO, "deny", reason="no, 2 GiB")
    result = (await house.settle(request)).result
    record = CallRecord(result.call, "terraform_apply", "denied", "", CallClass.CHANGE, facts=result.facts)
    again = "ab" * 32
    verdicts = {REVISION: verdict(), again: verdict(revision=again)}
    house.state = mission(verdicts=verdicts, results={result.call: record})
    house.apply.revision = again
    house.apply.binding = {"plan": "b"}
    house.apply.alike = ("code b, serial 3", "changes a, serial 3")
    assert "A human denied this before: “no, 2 GiB”" in await house.refused(plan="b", number=5)
    house.apply.alike = ("code a, serial 3", "changes b, serial 3")
    assert "A human denied this before" in await house.refused(plan="b", number=6)
    house.apply.alike = ("code a, serial 4", "changes a, serial 4")
    assert (await house.held(plan="b", number=7)).digest != request.digest


async def test_rule_12_a_denied_revision_is_not_asked_again_in_other_words(house: House) -> None:
    facts = {"denied_revision": REVISION, "denied_because": "not on Fridays"}
    record = CallRecord(CallId("7-1-0-9"), "terraform_apply", "denied", "", CallClass.CHANGE, facts=facts)
    other = replace(record, call=CallId("7-1-0-8"), status="ok")
    house.state = reviewed(results={other.call: other, record.call: record})
    house.apply.binding = {"words": "rephrased"}
    assert "“not on Fridays”" in await house.refused()
    house.state = reviewed(results={record.call: replace(record, facts={"denied_revision": REVISION})})
    assert "no reason given" in await house.refused()
    house.apply.revision = REVISION[::-1]
    house.state = replace(house.state, verdicts={REVISION[::-1]: verdict(revision=REVISION[::-1])})
    await house.held()


async def test_rule_17_no_apply_without_a_verdict_on_exactly_this_plan(house: House) -> None:
    house.state = mission()
    text = await house.refused()
    assert "no passing verdict on exactly this plan" in text
    assert "Instead: hand_off to sentinel" in text
    house.state = mission(verdicts={REVISION[::-1]: verdict(revision=REVISION[::-1])})
    await house.refused()
    house.state = mission(verdicts={REVISION: verdict(revision=REVISION[::-1])})
    await house.refused()
    house.state = mission(verdicts={REVISION: verdict(checks=())})
    assert "no checks were run" in await house.refused()
    assert house.approvals.requests == {}


async def test_rule_18_findings_block_until_a_human_accepts_them(house: House) -> None:
    finding = Finding("f1", "open-port", "cp1", "high", "22 is open")
    house.state = mission(verdicts={REVISION: verdict(finding)})
    assert "Sentinel: blocked by open-port on cp1" in await house.refused()
    accepted = replace(finding, status="accepted", accepted_by=CHRIS)
    house.state = mission(verdicts={REVISION: verdict(finding)}, findings={"f1": accepted})
    request = await house.held()
    assert request.verdict_line == "Sentinel: pass on exactly this plan, 1 check, 1 finding that does not block"


async def test_rule_14_forbidden_stays_forbidden(house: House) -> None:
    house.apply.effect = Effect(CallClass.FORBIDDEN, "f", "It would delete the backups.")
    text = await house.refused()
    assert "no approval changes that" in text
    assert "It would delete the backups." in text
    assert house.approvals.requests == {}


async def test_rule_14_a_persona_that_changes_nothing_is_told_who_does(house: House) -> None:
    house.crew[SENTINEL] = ("terraform_apply",)
    text = await house.refused(persona=SENTINEL)
    assert "this persona changes nothing" in text
    assert "hand_off to builder" in text
    assert "no policy lets qa call terraform_apply as change" in await house.refused(persona=QA)


async def test_rule_12_the_strictest_environment_of_the_targets_counts(house: House) -> None:
    house.apply.effect = replace(CHANGE, targets=(Target("node", "lab1"),))
    request = await house.held()
    assert (request.environment, request.terms.exclude_requesters) == ("lab", False)
    house.apply.effect = replace(CHANGE, targets=(Target("node", "lab1"), Target("node", "pve1")))
    assert (await house.held()).environment == "production"
    house.apply.effect = replace(CHANGE, targets=(Target("node", "never-heard-of"),))
    assert (await house.held()).environment == "production"
    house.state = replace(house.state, environment="lab")
    house.apply.effect = replace(CHANGE, targets=())
    assert (await house.held()).environment == "production"  # a change that names nothing is mapped to nothing
    house.apply.effect = replace(CHANGE, cls=CallClass.UNKNOWN, targets=())
    assert (await house.held()).environment == "lab"


async def test_destroying_in_production_wants_the_names_typed(house: House) -> None:
    house.apply.effect = DESTROY
    request = await house.held()
    assert request.terms.typed_names == ("cp1", "cp2")
    assert request.terms.expires_s == 3600


async def test_unknown_asks_and_never_runs_in_submit(house: House) -> None:
    house.plan.effect = Effect(CallClass.UNKNOWN, "allow-list", "data source external is not on the list")
    request = await house.held(tool="terraform_plan")
    assert request.terms.expires_s == 3600
    assert house.plan.ran == 0


async def test_a_binding_that_has_no_canonical_form_is_refused(house: House) -> None:
    house.apply.binding = {"share": 0.5}
    assert "cannot be bound" in await house.refused()


async def test_long_arguments_are_cut_in_the_audit_record(house: House) -> None:
    await house.propose("proxmox_read", content="y" * 5000)
    assert len(str(house.audit.events[0].facts["arguments"])) < 300


async def test_the_results_belong_to_the_call_whatever_the_tool_says(house: House) -> None:
    async def misname() -> None:
        house.look.name = "other"

    house.look.on_run = misname
    answer = await house.propose("proxmox_read")
    assert isinstance(answer, Ran)
    assert isinstance(answer.result, ToolResult)
    assert (answer.result.tool, answer.result.call) == ("proxmox_read", "7-1-0-0")
