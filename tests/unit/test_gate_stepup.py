"""One-time codes: asked for where a policy says so, right once, never from who has no secret."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyotp.totp import TOTP

from bot.domain.approvals import ApprovalRequest, Counted, NotCounted
from bot.domain.ids import UserId
from bot.policy.authorise import Authoriser
from bot.policy.problems import PolicyError
from bot.policy.stepup import STEP_S, TotpCodes, read_totp_secrets, step_of
from tests.fakes import BO, CHRIS
from tests.gate_house import DESTROY, POLICIES, House

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    files = {f"policies/{path.name}": path.read_text() for path in POLICIES.glob("*.cedar")}
    destroy = '@id("destroy")'
    files["policies/terraform.cedar"] = files["policies/terraform.cedar"].replace(destroy, f'{destroy} @stepup("totp")')
    house.set(authoriser=Authoriser((POLICIES / "schema.cedarschema").read_text(), files, "v1"))
    assert house.parts.authoriser.asks_for_codes
    house.secrets[BO] = SECRET
    house.apply.effect = DESTROY
    return house


def code(house: House, after_s: int = 0, secret: str = SECRET) -> str:
    return TOTP(secret).at(int(house.clock.now().timestamp()) + after_s)


async def refused(house: House, request: ApprovalRequest, given: str, user: UserId = BO) -> str:
    answer = await house.vote(request.id, user, typed=" ".join(request.terms.typed_names), code=given)
    assert isinstance(answer, NotCounted), answer
    assert house.audit.kinds()[-1] == f"vote.refused_{'code' if answer.why == 'code_wrong' else 'typed'}"
    assert house.approvals.requests[request.id].votes == ()
    return answer.text


async def test_rule_12_a_right_code_beside_the_typed_names_counts(house: House) -> None:
    request = await house.held()
    assert (request.terms.totp, house.gate.card(request).code) == (True, True)
    assert "and a one-time code" in request.reason
    answer = await house.vote(request.id, BO, typed=" ".join(request.terms.typed_names), code=code(house))
    assert isinstance(answer, Counted)
    assert answer.request.status == "approved"


@pytest.mark.parametrize("given", ["", "000000", "abc", "1" * 40, "١٢٣٤٥٦"])
async def test_rule_12_a_wrong_code_is_answered_and_changes_nothing(house: House, given: str) -> None:
    assert (await refused(house, await house.held(), given)).startswith("Wrong code.")


async def test_rule_12_one_code_is_good_once(house: House) -> None:
    first, given = await house.held(), code(house)
    assert isinstance(await house.vote(first.id, BO, typed="cp1 cp2", code=given), Counted)
    await house.settle(house.approvals.requests[first.id])
    second = await house.held(number=1, what="again")
    assert "used before" in await refused(house, second, given)
    assert "used before" in await refused(house, second, code(house, -STEP_S))  # an older one is no newer one
    house.clock.move(STEP_S)
    assert isinstance(await house.vote(second.id, BO, typed="cp1 cp2", code=code(house)), Counted)


async def test_rule_12_without_a_secret_nobody_approves_what_takes_a_code(house: House) -> None:
    request = await house.held()
    assert "none is set up for you" in await refused(house, request, code(house), CHRIS)
    assert isinstance(
        await house.vote(request.id, CHRIS, "deny", reason="not today"), Counted
    )  # to say no takes no code


async def test_five_wrong_codes_are_enough(house: House) -> None:
    request = await house.held()
    for _ in range(5):
        await refused(house, request, "000000")
    assert "Too many wrong codes" in await refused(house, request, code(house))


async def test_wrong_names_use_up_no_code(house: House) -> None:
    request, given = await house.held(), code(house)
    answer = await house.vote(request.id, BO, typed="cp1", code=given)
    assert isinstance(answer, NotCounted)
    assert answer.why == "typed_wrong"
    assert isinstance(await house.vote(request.id, BO, typed="cp1 cp2", code=given), Counted)


async def test_an_unreadable_file_of_secrets_approves_nothing(house: House) -> None:
    request = await house.held()

    def broken() -> dict[UserId, str]:
        raise PolicyError("secrets", "", "gone", "bring it back")

    house.set(codes=TotpCodes(broken, house.codes, house.clock))
    assert "cannot be checked now" in await refused(house, request, code(house))


def test_the_neighbouring_steps_count_and_no_others() -> None:
    now = datetime(2026, 11, 23, 12, 0, 7, tzinfo=UTC)
    totp, present = TOTP(SECRET), int(now.timestamp()) // STEP_S
    found = {shift: step_of(SECRET, totp.at((present + shift) * STEP_S), now) for shift in (-2, -1, 0, 1, 2)}
    assert found == {-2: None, -1: present - 1, 0: present, 1: present + 1, 2: None}


@pytest.mark.parametrize(
    ("text", "mode", "wrong"),
    [
        (f"secrets:\n  {BO}: {SECRET}\n", 0o640, "others can read it"),
        (f"secrets:\n  {BO}: short\n", 0o600, "should match pattern"),
        ("people: {}\n", 0o600, "people: Extra inputs are not permitted"),
    ],
)
def test_rule_9_a_file_of_secrets_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, mode: int, wrong: str
) -> None:
    file = tmp_path / "totp.yaml"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(PolicyError, match=wrong):
        read_totp_secrets(file, POLICIES)


def test_secrets_lie_elsewhere_than_the_policies(tmp_path: Path) -> None:
    file = tmp_path / "totp.yaml"
    file.write_text(f"secrets:\n  {BO}: {SECRET}\n")
    file.chmod(0o600)
    assert read_totp_secrets(file, POLICIES) == {BO: SECRET}
    assert read_totp_secrets(None, POLICIES) == {}
    with pytest.raises(PolicyError, match="do not belong among the policies"):
        read_totp_secrets(file, tmp_path)
    with pytest.raises(PolicyError, match="cannot be read"):
        read_totp_secrets(tmp_path / "none.yaml", POLICIES)


async def test_no_grant_where_a_code_is_asked_for(house: House) -> None:
    request = await house.held()
    assert (request.scope, replace(request.terms, grant_s=0) == request.terms) == ("", True)
