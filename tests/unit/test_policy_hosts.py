"""Who may do what on hosts, as the shipped policies say: every persona, every class, both kinds of environment."""

import pytest

from bot.domain.approvals import Allowed, Denied, NeedsApproval
from bot.domain.calls import CallClass
from bot.domain.ids import MissionId, PersonaName
from bot.policy.authorise import Facts
from tests.gate_house import authoriser

ASKED = (CallClass.CHANGE, CallClass.DESTROY, CallClass.UNKNOWN)


def decide(persona: str, tool: str, cls: CallClass, environment: str = "production") -> object:
    facts = Facts(PersonaName(persona), tool, cls, environment, MissionId("7"), "home", names=("cp1",))
    return authoriser().decide(facts)


@pytest.mark.parametrize(
    ("persona", "tool"),
    [
        ("builder", "ssh"), ("qa", "ssh"), ("builder", "ansible_check"), ("qa", "tcp_probe"), ("qa", "dns_probe"),
        ("architect", "tcp_probe"), ("architect", "dns_probe"),
    ],
)  # fmt: skip
def test_reads_run_at_once(persona: str, tool: str) -> None:
    assert isinstance(decide(persona, tool, CallClass.READ), Allowed)


@pytest.mark.parametrize(
    ("persona", "tool"),
    [
        ("architect", "ssh"),
        ("sentinel", "ssh"),
        ("qa", "ansible_check"),
        ("sentinel", "ansible_run"),
        ("qa", "ansible_run"),
    ],
)
def test_who_has_no_policy_gets_nothing(persona: str, tool: str) -> None:
    for cls in (CallClass.READ, CallClass.CHANGE, CallClass.DESTROY):
        assert isinstance(decide(persona, tool, cls), Denied)


@pytest.mark.parametrize("tool", ["ssh", "ansible_run"])
@pytest.mark.parametrize("cls", ASKED)
def test_what_changes_something_asks_somebody_else_in_production(tool: str, cls: CallClass) -> None:
    said = decide("builder", tool, cls)
    assert isinstance(said, NeedsApproval)
    assert (said.terms.quorum, said.terms.approvers, said.terms.exclude_requesters) == (1, {"approver"}, True)
    assert said.terms.typed_names == (("cp1",) if cls is CallClass.DESTROY else ())
    assert said.terms.expires_s == (4 * 3600 if cls is CallClass.CHANGE else 3600)


@pytest.mark.parametrize("tool", ["ssh", "ansible_run"])
def test_outside_production_a_requester_may_approve_a_change_and_no_more(tool: str) -> None:
    change, destroy = (decide("builder", tool, cls, "lab") for cls in (CallClass.CHANGE, CallClass.DESTROY))
    assert isinstance(change, NeedsApproval)
    assert isinstance(destroy, NeedsApproval)
    assert (change.terms.exclude_requesters, destroy.terms.exclude_requesters) == (False, True)


@pytest.mark.parametrize("cls", ASKED)
def test_who_probes_changes_nothing_and_is_told_what_to_do_instead(cls: CallClass) -> None:
    said = decide("qa", "ssh", cls)
    assert isinstance(said, Denied)
    assert "hand_off to builder" in said.instead


@pytest.mark.parametrize("tool", ["ssh", "ansible_run"])
def test_rule_14_forbidden_stays_forbidden(tool: str) -> None:
    assert isinstance(decide("builder", tool, CallClass.FORBIDDEN, "lab"), Denied)
