"""Reading policy files: every mistake names file, field and mend."""

import shutil
from pathlib import Path

import pytest

from bot.domain.approvals import Terms
from bot.domain.ids import PersonaName, UserId
from bot.domain.people import Role
from bot.policy.loading import load_policies, read_environments, read_people, version_of
from bot.policy.people import LivePeople, Roster, check_approvers
from bot.policy.problems import PolicyError
from tests.gate_house import POLICIES

PEOPLE = """people:
  U0ANA00001: {name: ana, roles: [requester]}
  U0BO000001: {name: bo, roles: [approver]}
  U0CHRIS001: {name: chris, roles: [approver, risk_owner, admin]}
"""
ANA, BO, CHRIS = UserId("U0ANA00001"), UserId("U0BO000001"), UserId("U0CHRIS001")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "policies"
    shutil.copytree(POLICIES, copy)
    (copy / "people.yaml").write_text(PEOPLE)
    return copy


def problem(folder: Path, file: str, text: str) -> str:
    (folder / file).write_text(text)
    with pytest.raises(PolicyError) as caught:
        load_policies(folder)
    return str(caught.value)


def test_the_shipped_policies_load_once_people_are_named(folder: Path) -> None:
    policies = load_policies(folder)
    assert policies.people.roles[BO] == {Role.APPROVER}
    assert policies.environments.of("node", "pve1") == "production"
    assert policies.threat.threshold("production") == "medium"
    assert policies.limits.mission.usd == 5.0
    assert "code-only" in policies.standards
    assert policies.version == policies.authoriser.version
    assert policies.warnings == ()


def test_without_an_approver_for_production_nothing_starts() -> None:
    with pytest.raises(PolicyError) as caught:
        load_policies(POLICIES)
    assert "0 people have the role approver, and production needs 1 to approve" in str(caught.value)
    assert "U0123456789: {name: bo, roles: [approver]}" in str(caught.value)


def test_people_and_environments_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    people, environments = tmp_path / "p.yaml", tmp_path / "e.yaml"
    people.write_text(PEOPLE.replace("name: bo", "name: bob"))
    environments.write_text("order: [lab, production]\nmembers: {lab: {node: [pve1]}}\n")
    (folder / "threat_model.yaml").write_text("blocks_from: {production: low}\n")
    policies = load_policies(folder, people=people, environments=environments)
    assert policies.people.names[BO] == "bob"
    assert policies.environments.of("node", "pve1") == "lab"


BAD = {
    "unknown key": ("limits.yaml", "misson: {}\n", "policies/limits.yaml:1: misson: Extra inputs are not permitted. Remove or rename this key. Known at the top: mission, personas,"),
    "extra key": (
        "standards.yaml", "standards: {}\nstandrads: {}\n",
        "policies/standards.yaml:2: standrads: Extra inputs are not permitted. Remove or rename this key. Known at the top: standards",
    ),
    "extra role key": (
        "people.yaml", "people:\n  U0BO000001: {name: bo, roles: [boss]}\n", "policies/people.yaml:2: people.U0BO000001.roles.0: Input",
    ),
    "no slack id": ("people.yaml", "people:\n  bo: {name: bo, roles: [approver]}\n", "policies/people.yaml:2: people.bo: String should"),
    "no roles": ("people.yaml", "people:\n  U0BO000001: {name: bo, roles: []}\n", "people.U0BO000001.roles: List should"),
    "empty file": ("people.yaml", "", "policies/people.yaml:1: Input should be a valid dictionary"),
    "no yaml": ("people.yaml", "people: [", "policies/people.yaml: this is no YAML"),
    "a key of several words": ("people.yaml", "? [people, roles]\n: {}\n", "a key is one word"),
    "a key twice": ("people.yaml", PEOPLE + PEOPLE, "the key 'people' stands twice"),
    "wrong type": (
        "threat_model.yaml", "blocks_from: {production: severe}\n", "threat_model.yaml:1: blocks_from.production: Input should be",
    ),
    "unknown environment in the threat model": (
        "threat_model.yaml", "blocks_from: {prod: high}\n", "policies/threat_model.yaml: prod: there is no such environment. Known: lab,",
    ),
    "unknown environment in an acceptance": (
        "threat_model.yaml",
        "blocks_from: {}\naccepted: [{rule: x, environments: [prod], reason: because we say so}]\n",
        "prod: there is no such environment",
    ),
    "unknown environment in a policy": (
        "extra.cedar",
        '@id("x") permit (principal, action == Action::"read", resource) when { context.environment == Environment::"prod" };',
        'policies/*.cedar: Environment::"prod": there is no such environment',
    ),
    "order": ("environments.yaml", "order: [production, lab]\n", "weakest first, production last"),
    "order twice": ("environments.yaml", "order: [lab, lab, production]\n", "name each environment once"),
    "member without order": (
        "environments.yaml", "order: [production]\nmembers: {lab: {node: [x]}}\n", "members.lab: this environment is not in `order`",
    ),
    "glob over addresses": (
        "environments.yaml", "order: [lab, production]\nmembers: {lab: {url: ['192.168.178.*']}}\n", "as a network, e.g. 192.168.178.0/24",
    ),
    "unknown kind": ("environments.yaml", "order: [lab, production]\nmembers: {lab: {vms: [x]}}\n", "members.lab.vms"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_mistake_is_named_with_file_and_field(folder: Path, name: str) -> None:
    file, text, wrong = BAD[name]
    assert wrong in problem(folder, file, text)


def test_a_missing_or_unreadable_file_is_named(folder: Path) -> None:
    (folder / "limits.yaml").unlink()
    with pytest.raises(PolicyError, match="it cannot be read"):
        load_policies(folder)
    (folder / "limits.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="this is not UTF-8"):
        load_policies(folder)


def test_the_policy_version_covers_what_decides_and_nothing_else(folder: Path) -> None:
    before = version_of(folder)
    for file in ("people.yaml", "limits.yaml", "standards.yaml", "README.md"):
        (folder / file).write_text((folder / file).read_text() + "\n# x\n")
    assert version_of(folder) == before
    (folder / "commands").mkdir(exist_ok=True)
    seen = {before}
    for file in (
        "terraform.cedar",
        "schema.cedarschema",
        "environments.yaml",
        "threat_model.yaml",
        "commands/git.yaml",
    ):
        path = folder / file
        path.write_text((path.read_text() if path.exists() else "") + "\n")
        seen.add(version_of(folder))
    (folder / "new.cedar").write_text("")
    seen.add(version_of(folder))
    assert len(seen) == 7


def test_environments_elsewhere_count_for_the_version(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "environments.yaml"
    other.write_text("order: [production]\n")
    assert version_of(folder, other) != version_of(folder)
    assert read_environments(other).order == ("production",)


class Standing:
    """Slack's word on people."""

    def __init__(self, **standings: str) -> None:
        self._standings = standings

    async def standing(self, user: UserId) -> tuple[str, str]:
        return self._standings.get(user, "member"), f"slack name of {user}"


async def test_rule_12_people_are_read_again_at_every_question(folder: Path) -> None:
    path = folder / "people.yaml"
    people = LivePeople(lambda: read_people(path), Standing())
    assert (await people.human(BO)).roles == {Role.APPROVER}
    assert people.with_role("approver") == (BO, CHRIS)
    path.write_text("people:\n  U0BO000001: {name: bo, roles: [requester]}\n")
    assert (await people.human(BO)).roles == {Role.REQUESTER}
    assert people.with_role("approver") == ()
    unlisted = await people.human(CHRIS)
    assert (unlisted.standing, unlisted.roles, unlisted.name) == ("unlisted", frozenset(), f"slack name of {CHRIS}")


async def test_rule_12_guests_have_no_roles_whatever_the_file_says(folder: Path) -> None:
    people = LivePeople(lambda: read_people(folder / "people.yaml"), Standing(**{BO: "guest"}))
    human = await people.human(BO)
    assert (human.standing, human.roles) == ("guest", frozenset())


async def test_rule_9_an_unreadable_people_file_gives_nobody_a_role(folder: Path) -> None:
    (folder / "people.yaml").write_text("people: [")
    people = LivePeople(lambda: read_people(folder / "people.yaml"), Standing())
    human = await people.human(BO)
    assert human.roles == frozenset()
    assert human.standing.startswith("unknown, because policies/people.yaml")
    assert people.with_role("approver") == ()


TERMS = Terms(1, frozenset({"approver"}), 3600, exclude_requesters=True)


def roster(**roles: list[Role]) -> Roster:
    return Roster(
        {UserId(f"U{name}"): frozenset(own) for name, own in roles.items()},
        {UserId(f"U{name}"): name for name in roles},
    )


def test_an_approver_who_also_asks_and_is_alone_is_warned_of() -> None:
    both = roster(bo=[Role.APPROVER, Role.REQUESTER], ana=[Role.REQUESTER])
    warnings = check_approvers(both, [TERMS, TERMS], "production", "people.yaml")
    assert warnings == (
        "people.yaml: what bo asks for in production nobody can approve: no other approver is listed. Add one",
    )
    two = roster(bo=[Role.APPROVER, Role.REQUESTER], chris=[Role.APPROVER])
    assert check_approvers(two, [TERMS], "production", "people.yaml") == ()
    assert check_approvers(both, [Terms(1, frozenset({"approver"}), 60, exclude_requesters=False)], "lab", "p") == ()


def test_a_quorum_larger_than_the_crew_is_an_error() -> None:
    with pytest.raises(PolicyError, match="1 people have the role approver, and production needs 2"):
        check_approvers(
            roster(bo=[Role.APPROVER]),
            [Terms(2, frozenset({"approver"}), 60, exclude_requesters=True)],
            "production",
            "p",
        )


def test_people_by_any_of_several_roles() -> None:
    crew = roster(bo=[Role.APPROVER], ana=[Role.REQUESTER], chris=[Role.ADMIN])
    assert crew.with_any(["approver", "admin"]) == ("Ubo", "Uchris")


def test_every_tool_of_the_personas_has_a_policy(folder: Path) -> None:
    """Add a tool in one place; this says what else."""
    authoriser = load_policies(folder).authoriser
    for path in sorted((POLICIES.parent / "personas").glob("*.md")):
        header = path.read_text().partition("tools: [")[2].partition("]")[0]
        for tool in filter(None, (name.strip() for name in header.split(","))):
            assert authoriser.speaks_of(tool, PersonaName(path.stem)), f"tool '{tool}' has no policy for {path.stem}"
