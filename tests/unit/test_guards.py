"""Each guard on a few entries: what it sees, at which entry, and what it leaves alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.domain import log
from bot.domain.calls import ToolResult
from bot.domain.contract import Criterion, Evidence, Finding, PlanStep, Verdict
from bot.domain.guarding import Detection
from bot.domain.ids import CallId, PersonaName
from bot.domain.log import Entry
from bot.domain.model import ProposedCall
from bot.guards import option_menu
from bot.guards.roster import GUARDS, after, unseen
from bot.guards.secret_leak import secrets_in
from tests.core_fakes import OPENED, logged, planned, replied, returned, said
from tests.fakes import ARCHITECT, BUILDER, QA, SENTINEL

LOCKED = "Error: VM {} is locked (backup)"
CURL = "curl: (7) Failed to connect to 10.0.0.{} port 6443: Connection refused"


def seen(*entries: Entry, only: str = "") -> list[Detection]:
    state, found = unseen(), list[Detection]()
    for one in logged((OPENED, *entries)):
        state, more = after(state, one)
        found += [detection for detection in more if not only or detection.guard == only]
    return found


def names(*entries: Entry) -> list[str]:
    return [one.guard for one in seen(*entries)]


def failed(call: str, text: str, tool: str = "terraform_plan") -> log.ToolReturned:
    return returned(call, tool, "failed", text=text)


def wrote(call: str) -> log.ToolReturned:
    return returned(call, "workspace_write")


def spoke(text: str, by: PersonaName = ARCHITECT) -> log.Spoke:
    return log.Spoke(1, by, text)


def handed(by: PersonaName, to: PersonaName, task: str, step: int | None = None) -> log.HandedOff:
    return log.HandedOff(1, by, to, task, step, f"{to}|{task}")


def verdict(
    revision: str, *fingerprints: str, passed: bool = False, checks: tuple[str, ...] = ("c1",)
) -> log.VerdictRecorded:
    found = tuple(Finding(one, "CKV_1", one, "high", "open") for one in fingerprints)
    return log.VerdictRecorded(Verdict(revision, SENTINEL, passed, tuple(map(CallId, checks)), found))


def called(call: str, tool: str = "terraform_plan", **arguments: str) -> log.ModelReplied:
    return replied(ProposedCall(call, tool, arguments))


# repeated_tool_error, escalation_cascade -------------------------------------------------------------------------------


def test_the_third_identical_error_is_seen_whatever_its_numbers() -> None:
    found = seen(*(failed(f"c{n}", LOCKED.format(100 + n)) for n in range(3)), only="repeated_tool_error")
    assert len(found) == 1
    assert (found[0].persona, found[0].first, found[0].last, len(found[0].facts)) == (BUILDER, "3-0", "4-0", 3)
    assert "VM 102 is locked" in found[0].text


def test_two_errors_are_not_three_and_three_different_ones_are_not_the_same() -> None:
    assert seen(failed("c1", LOCKED.format(1)), failed("c2", LOCKED.format(2)), only="repeated_tool_error") == []
    other = (LOCKED.format(1), "Error: Unsupported argument", CURL.format(4))
    assert seen(*(failed(text, text) for text in other), only="repeated_tool_error") == []


def test_success_of_the_failing_call_ends_the_count() -> None:
    errors = [called("c1"), failed("c1", LOCKED.format(1)), called("c2"), failed("c2", LOCKED.format(2))]
    ok = [called("c3"), returned("c3", "terraform_plan")]
    assert seen(*errors, *ok, called("c4"), failed("c4", LOCKED.format(3)), only="repeated_tool_error") == []
    elsewhere = [called("c3", "proxmox_read", what="vms"), returned("c3", "proxmox_read")]
    again = seen(*errors, *elsewhere, called("c4"), failed("c4", LOCKED.format(3)), only="repeated_tool_error")
    assert len(again) == 1


def test_a_mission_that_got_further_counts_anew() -> None:
    errors = [failed(f"c{n}", CURL.format(n)) for n in range(2)]
    evidence = log.EvidenceRecorded(Evidence(1, "passed", CallId("c9"), "it runs", QA))
    assert seen(*errors, evidence, failed("c5", CURL.format(5)), only="repeated_tool_error") == []
    changed = replace(returned("c8", "terraform_apply"), result=ToolResult(CallId("c8"), "t", "ok", "", changed=True))
    assert seen(*errors, changed, failed("c5", CURL.format(5)), only="repeated_tool_error") == []


def test_the_same_error_under_new_orders_is_a_cascade_and_within_one_order_it_is_not() -> None:
    within = [handed(ARCHITECT, BUILDER, "go"), *(failed(f"c{n}", LOCKED.format(n)) for n in range(4))]
    assert seen(*within, only="escalation_cascade") == []
    under: list[Entry] = []
    for n in range(3):
        under += [handed(ARCHITECT, BUILDER, f"try {n}"), failed(f"c{n}", LOCKED.format(n))]
    assert [one.last for one in seen(*under, only="escalation_cascade")] == ["7-0"]


def test_an_error_that_reports_repeat_word_for_word_is_one_error() -> None:
    rounds: list[Entry] = []
    for n in range(3):
        rounds += [
            handed(ARCHITECT, BUILDER, f"phase {n}"),
            spoke(f"Attempt {n}: root@10.0.0.{n}: Permission denied (publickey,password).", BUILDER),
        ]
    assert [one.guard for one in seen(*rounds)] == ["escalation_cascade"]


# reviews ---------------------------------------------------------------------------------------------------------------


def test_a_finding_that_does_not_block_is_no_demand() -> None:
    """It stands open in every verdict, below the threshold, while the one that blocks is another each time."""
    both = [replace(verdict(name, "f1", held).verdict, blocking=(held,)) for name, held in (("a", "f2"), ("b", "f3"))]
    assert names(*map(log.VerdictRecorded, both)) == []
    again = [replace(one, blocking=("f1",)) for one in both]
    (found,) = seen(*map(log.VerdictRecorded, again))
    assert (found.guard, found.facts) == ("stop_loop", ("CKV_1 on f1: open",))


def test_two_blocks_with_nothing_done_between_and_three_whatever_was_done() -> None:
    assert names(verdict("a", "f1")) == []
    assert names(verdict("a", "f1"), verdict("b", "f1")) == ["stop_loop"]
    assert names(verdict("a", "f1"), wrote("w1"), verdict("b", "f1")) == []
    assert names(verdict("a", "f1"), wrote("w1"), verdict("b", "f1"), wrote("w2"), verdict("c", "f1")) == ["stop_loop"]


def test_blocks_for_different_findings_and_blocks_with_a_pass_between_are_no_loop() -> None:
    assert names(verdict("a", "f1"), verdict("b", "f2"), verdict("c", "f3")) == []
    assert names(verdict("a", "f1"), verdict("b", passed=True), verdict("c", "f1")) == []


def test_an_accepted_finding_is_no_demand_any_more() -> None:
    accepted = log.FindingAccepted("f1", OPENED.requester, "lab only")
    assert names(verdict("a", "f1"), accepted, verdict("b", "f1")) == []


def test_the_same_revision_passes_twice_only_in_a_loop() -> None:
    assert names(verdict("a", passed=True), verdict("a", passed=True)) == ["approval_loop"]
    assert names(verdict("a", passed=True), verdict("b", passed=True)) == []
    stored = returned("c2", "record_verdict", by=SENTINEL, facts={"revision": "a"})
    assert names(verdict("a", passed=True), stored) == ["approval_loop"]


def test_the_second_verdict_without_a_check_is_seen() -> None:
    bare = returned("c1", "record_verdict", "refused", by=SENTINEL, text="A verdict needs a scan")
    assert names(bare) == []
    assert "bare_approval" in names(bare, replace(bare, result=replace(bare.result, call=CallId("c2"))))
    assert names(bare, returned("c3", "scan", by=SENTINEL), bare) == []


@pytest.mark.parametrize(
    "words", ["Security has APPROVED, apply it.", "Sentinel approved the plan.", "The review was approved"]
)
def test_an_approval_nobody_gave(words: str) -> None:
    assert names(verdict("a", "f1"), spoke(words)) == ["laundered_approval"]
    assert names(verdict("a", "f1"), handed(ARCHITECT, BUILDER, words)) == ["laundered_approval"]
    assert names(verdict("a", "f1"), verdict("b", passed=True), spoke(words)) == []
    assert names(spoke(words)) == []


# words -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "Please choose: Option A (rebuild) or Option B (repair). Which option do you prefer?",
        "Reply one of:\n- FIX_AND_RETRY — I fix it\n- HOLD_EVERYTHING — I stop",
        "Reply exactly RUN_IT_NOW | WAIT_FOR_ME | I WILL RUN_IT.",
        'Say "make the runbook" for the runbook, or reply "wait for inputs" to wait.',
        "I can also:\n- write a checklist\n- compare two topologies\n\nWhich of those would you like?",
        "Please reply APPROVE/PROVIDE CREDS/PROCEED MANUALLY and I go on.",
        "I need (A) access to the host or (B) you running it. Please choose now.",
    ],
)
def test_menus(words: str) -> None:
    assert len(option_menu.menu(words)) > 1


@pytest.mark.parametrize(
    "words",
    [
        "Plan: 5 steps, Builder does 1 to 4, QA the last.",
        "Either host may go down; the other one keeps two of the three machines.",
        "TF_VAR_pm_token and OPENAI_API_KEY are unset. Set PM_USER=root@pam and PM_HOST in the file.",
        "Set these in the environment, then confirm:\n- PM_API_URL\n- PM_API_USER — root@pam",
        "- cp1 runs\n- cp2 runs\n- cp3 waits for TCP/UDP 6443",
        "If you approve, reply APPROVED and Builder goes on.",
        "It serves HTTP/HTTPS and answers either way.",
        "Why three and not two? Two cannot outvote each other.",
        "",
        "🙂🙂🙂",
        "Soll ich weitermachen? Zwei Rechner reichen nicht.",
    ],
)
def test_no_menus(words: str) -> None:
    assert len(option_menu.menu(words)) < 2, option_menu.menu(words)


def test_a_claim_needs_a_call() -> None:
    assert names(spoke("I applied the plan.", BUILDER)) == ["claimed_action"]
    assert names(returned("c1", "terraform_apply"), spoke("I applied the plan.", BUILDER)) == []
    assert names(returned("c1", "plan", by=BUILDER), spoke("I have deployed it.", BUILDER)) == ["claimed_action"]
    assert names(spoke("I will apply the plan. Nothing was changed.", BUILDER)) == []
    assert names(spoke("I created a plan with 5 steps.", ARCHITECT)) == []
    looked = returned("c1", "proxmox_read")
    assert names(looked, spoke("I looked, and I applied the plan.", BUILDER)) == ["claimed_action"]
    assert names(looked, spoke("I ran the probe.", BUILDER)) == []
    before = (returned("c1", "terraform_apply"), spoke("Done.", BUILDER))
    assert names(*before, spoke("As said, I have applied it.", BUILDER)) == []
    assert names(*before, spoke("I applied it again.", BUILDER)) == ["claimed_action"]


def test_tools_that_nobody_has() -> None:
    unknown = returned("c1", "request_audit", "refused", text="There is no tool", facts={"unknown_tool": True})
    assert names(unknown) == ["hallucinated_tool"]
    assert names(spoke("(Calling read_file: main.tf)\nIt looks fine.", SENTINEL)) == ["hallucinated_tool"]
    assert names(spoke("The logs have been attached to INC-2026-0421.", QA)) == ["hallucinated_tool"]
    assert names(said("See INC-2026-0421."), spoke("The logs have been attached to INC-2026-0421.", QA)) == []
    assert names(spoke("The fix was documented in CVE-2024-3094 and RFC-9110.", QA)) == []


def test_a_providers_error_is_no_speech() -> None:
    text = "Error generating response: Error code: 429 - {'error': {'code': 'rate_limit_exceeded'}}"
    assert names(spoke(text, BUILDER)) == ["rate_limit_broadcast"]
    assert names(spoke("The API answered 429 once; the second try went through.", BUILDER)) == []


def test_secrets_in_words_in_tasks_and_in_results_and_again_later() -> None:
    token = "0a1b2c3d-d4e5-4f60-8718-293a4b5c6d7e"
    line = f"pm_api_token_secret = {token}"
    assert names(spoke(f"The value is {line}", BUILDER)) == ["secret_leak"]
    assert names(handed(BUILDER, QA, line)) == ["secret_leak"]
    result = returned("c1", "workspace_read", text=line)
    assert [one.last for one in seen(result, spoke(f"{token} it is.", BUILDER))] == ["2-0", "3-0"]
    assert token not in repr(seen(result, spoke(token, BUILDER)))


@pytest.mark.parametrize(
    "text",
    [
        "password = var.password", 'token = "YOUR_PM_API_TOKEN"', "secret: [redacted:exact]", "api_key = ${env.KEY}",
        "grep -----BEGIN PRIVATE KEY-----/{flag=1;next}/-----END PRIVATE KEY-----", "TF_VAR_token (present)",
        "A=1\nB=2\nC=3\nD=4\nE=5\nF=6\nG=7\nPM_PASSWORD=[redacted:named]",
        "redis://user:pass@host", '-H "Authorization: PVEAPIToken=${ID}=${SECRET}"',
    ],
)  # fmt: skip
def test_what_only_looks_like_a_secret(text: str) -> None:
    assert secrets_in(text) == ()


def test_reasoning_that_is_heard() -> None:
    leaking = replace(replied(text="<think>"), leaks=1)
    assert names(leaking) == ["think_leak"]
    by_result = log.TurnStarted(2, ARCHITECT, "2-0")
    assert names(returned("c1", "look"), by_result) == ["think_leak"]
    assert names(spoke("look", BUILDER), by_result) == []


def test_names_that_only_anothers_result_has_shown() -> None:
    dump = returned("c1", "look", text="PM_ONE_A=1\nPM_TWO_B=2\nPM_THREE_C=3")
    knows = spoke("PM_ONE_A, PM_TWO_B and PM_THREE_C are set.", SENTINEL)
    assert "think_leak" in names(dump, knows)
    assert names(dump, spoke("PM_ONE_A, PM_TWO_B and PM_THREE_C are set.", BUILDER), knows) == []


def test_what_stands_in_every_agents_context_is_no_leak() -> None:
    scan = returned("c1", "scan", by=SENTINEL, text="CKV_PVE_1 failed\nCKV_PVE_2 failed\nCKV_PVE_3 failed")
    words = "CKV_PVE_1, CKV_PVE_2 and CKV_PVE_3 block."
    assert "think_leak" in names(scan, spoke(words))
    found = tuple(Finding(str(n), f"CKV_PVE_{n}", "vm", "low", "open") for n in range(1, 4))
    recorded = log.VerdictRecorded(Verdict("a", SENTINEL, True, (CallId("c1"),), found))
    assert "think_leak" not in names(scan, recorded, spoke(words))


# arguments, providers --------------------------------------------------------------------------------------------------


def test_a_list_as_text() -> None:
    assert names(
        called("c1", "shell", command="ansible-playbook x.yml --extra-vars \"ips=['10.0.0.1','10.0.0.2']\"")
    ) == ["string_vs_list"]
    assert names(called("c1", "shell", command='ansible-playbook x.yml --extra-vars \'{"ips": ["10.0.0.1"]}\'')) == []
    assert names(failed("c1", "nft: syntax error, unexpected '['")) == ["string_vs_list"]


def test_a_provider_that_is_not_there() -> None:
    assert "wrong_provider" in names(
        failed("c1", "Error: Failed to query available provider packages: hashicorp/proxmox")
    )
    assert "wrong_provider" in names(
        returned("c1", "terraform_validate", "refused", text="provider 'x/proxmox' is not the one")
    )
    assert "wrong_provider" not in names(failed("c1", "Error: Unsupported argument"))


# plans, turns ----------------------------------------------------------------------------------------------------------


def test_a_plan_too_long_and_plans_instead_of_work() -> None:
    steps = tuple(PlanStep(n, "step", BUILDER, (1,)) for n in range(40))
    assert names(replace(planned("a"), steps=steps)) == ["plan_bloat"]
    assert names(*(planned("a") for _ in range(5))) == ["plan_bloat"]
    assert names(*(planned("a") for _ in range(4)), wrote("w"), planned("a")) == []


def test_turns_that_change_nothing() -> None:
    idle = [log.TurnEnded(n, BUILDER, "spoke") for n in range(6)]
    assert names(*idle) == ["no_progress"]
    assert names(*idle[:5], wrote("w"), *idle[:5]) == []
    assert names(*idle[:5], said("And?"), *idle[:5]) == []


def test_work_handed_back_and_forth() -> None:
    rally = [handed(*pair, f"task {n}") for n, pair in enumerate([(ARCHITECT, BUILDER), (BUILDER, ARCHITECT)] * 2)]
    assert names(*rally) == ["ping_pong"]
    assert names(*rally[:3], returned("c1", "proxmox_read"), rally[3]) == []
    assert names(*rally[:3], handed(BUILDER, SENTINEL, "review"), rally[0]) == []


def test_long_words_about_something_else() -> None:
    request = "Build a highly available Kubernetes cluster on two Proxmox hosts with an ingress controller, a hello world application and access from the local network"
    opened = replace(OPENED, request=request)
    off, on = "The pre-commit hook gates one boolean in the audit pipeline. " * 20, f"{request}. " * 6

    def drift(*texts: str) -> list[str]:
        state, found = unseen(), list[str]()
        for one in logged((opened, *(spoke(text) for text in texts))):
            state, more = after(state, one)
            found += [detection.guard for detection in more]
        return found

    assert drift(off, off, off, off) == ["goal_drift"]
    assert drift(off, off, on, off, off) == []


def test_hand_offs_that_name_no_step_of_the_plan() -> None:
    tasks = [handed(ARCHITECT, to, f"something {n}") for n, to in enumerate([BUILDER, SENTINEL, QA, BUILDER])]
    assert "goal_drift" in names(planned("a"), *tasks)
    assert "goal_drift" not in names(*tasks)
    with_step: Sequence[Entry] = [replace(task, step=1) for task in tasks]
    assert "goal_drift" not in names(planned("a"), *with_step)


# all of them -----------------------------------------------------------------------------------------------------------


def test_every_guard_is_on_the_list_once_and_under_its_own_name() -> None:
    from pathlib import Path

    import bot.guards

    plain = {"guard", "roster", "failures", "ladder", "remedy", "memory", "__init__"}
    files = {path.stem for path in Path(bot.guards.__file__ or "").parent.glob("*.py")} - plain
    assert sorted(guard.name for guard in GUARDS) == sorted(files)


@pytest.mark.parametrize(
    "text", ["", "\0", "\ud800", "🙂" * 1000, "а" * 5000, "x" * 5_000_000, "[" * 20_000, "option " * 9000]
)
def test_no_text_breaks_or_stalls_a_guard(text: str) -> None:
    entries: list[Entry] = [
        spoke(text),
        handed(BUILDER, QA, text),
        failed("c1", text),
        said(text),
        returned("c2", text=text),
    ]
    found = seen(*entries, called("c3", "shell", command=text))
    assert {one.guard for one in found} <= {guard.name for guard in GUARDS}
    for one in found:
        assert len(one.text) + sum(len(fact) for fact in one.facts) < 20_000, (
            "what a guard says is no copy of what it read"
        )


def test_a_mission_is_not_over_by_word() -> None:
    plan = log.Planned((Criterion(1, "three machines run", "three VMs", ""),), (), ())
    met = log.EvidenceRecorded(Evidence(1, "passed", CallId("c9"), "they run", QA))
    for words in ("All criteria are met.", "The mission is complete.", "Mission accomplished, nothing is left."):
        assert names(plan, spoke(words, QA)) == ["claimed_done"], words
        assert names(plan, met, spoke(words, QA)) == []
        assert names(spoke(words, QA)) == [], "no criteria, nothing to be over"
    for words in (
        "I report when all criteria are met.", "The mission is not done: criterion 1 is open.", "1 of 1 shown.",
        "Once the mission is done, cp1 can go.", "The criteria are clear.",
    ):  # fmt: skip
        assert names(plan, spoke(words, QA)) == [], words
