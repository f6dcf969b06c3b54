"""Acceptance 8 of the gate, in a real browser over one lab: quorum, step-up by typing, narrowing, a grant and its end.

The program runs with policies that an operator could have written: two approvers for a change in production, and in
staging a command that may run again for two hours. Commands go to a real OpenSSH server on loopback.
"""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, async_playwright, expect

from deploy.lab.__main__ import MISSION
from deploy.lab.stack import Lab, Options, running
from tests.e2e.killed_lab import QUICK, stand_in_scanner
from tests.e2e.lab_page import CHROMIUM, FLAGS, MARKS
from tests.ssh_house import needs_sshd, running_sshd

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 60_000
CHANGE_IN_PRODUCTION = '@quorum("1") @approvers("approver") @expires("4h") @exclude_requesters("true")\npermit (principal == Persona::"builder", action == Action::"change", '
CHANGE_ELSEWHERE = '@quorum("1") @approvers("approver") @expires("4h") @exclude_requesters("false")\npermit (principal == Persona::"builder", action == Action::"change", resource)'
HOSTS = """hosts:
  web1: &server
    address: 127.0.0.1
    port: {port}
    user: {user}
    keys: ["{key}"]
  worker1: *server
"""
ENVIRONMENTS = "order: [lab, homelab, staging, production]\nmembers:\n  staging:\n    host: [worker1]\n"

pytestmark = [*MARKS, pytest.mark.e2e, needs_sshd, pytest.mark.xdist_group("approvals_browser")]


def operators_policies(folder: Path) -> Path:
    """The shipped policies with two approvers for changes in production, and grants for commands elsewhere."""
    shutil.copytree(ROOT / "policies", folder, ignore=shutil.ignore_patterns("tests"))
    for name in ("hosts.cedar", "terraform.cedar"):
        text = (folder / name).read_text()
        assert text.count(CHANGE_IN_PRODUCTION) == 1
        text = text.replace(CHANGE_IN_PRODUCTION, CHANGE_IN_PRODUCTION.replace('"1"', '"2"', 1))
        (folder / name).write_text(text.replace(CHANGE_ELSEWHERE, f'@grant("2h") {CHANGE_ELSEWHERE}'))
    assert "@grant" in (folder / "hosts.cedar").read_text()
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    folder = tmp_path_factory.mktemp("approvals")
    for name in ("sshd", "lab"):
        (folder / name).mkdir()
    scenario = folder / "approvals.yaml"
    shutil.copy(Path(__file__).with_name("approvals.yaml"), scenario)
    shutil.copy(ROOT / "deploy/lab/model/scenarios/three-vms.yaml", folder)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    with running_sshd(folder / "sshd") as sshd:
        (folder / "hosts.yaml").write_text(HOSTS.format(port=sshd.port, user=sshd.user, key=sshd.host_key))
        settings = {
            **QUICK,
            "WATCHBILL_POLICIES": str(operators_policies(folder / "policies")),
            "WATCHBILL_ENVIRONMENTS": str(folder / "environments.yaml"),
            "WATCHBILL_HOSTS": str(folder / "hosts.yaml"),
            "WATCHBILL_SSH_KEY": str(sshd.key),
            "WATCHBILL_SCANNER": str(stand_in_scanner(folder)),
        }
        options = Options(
            keep=folder / "lab", scenario=str(scenario.with_suffix("")), settings=settings,
            slack_arguments=("--rate-scale", "0", "--retry-scale", "0.02"), proxmox_arguments=("--pace", "0.1"),
        )  # fmt: skip
        with running(options, lambda _: None) as opened:
            opened.start_program()
            yield opened


async def shows(what: Locator, text: str) -> None:
    await expect(what).to_contain_text(text, timeout=PATIENCE_MS)


class Visit:
    """One tab, and what a person does in it."""

    def __init__(self, page: Page, pictures: Path) -> None:
        self.page, self.pictures = page, pictures
        self.thread = page.get_by_test_id("thread")

    async def be(self, name: str) -> None:
        await self.page.get_by_test_id(f"me-{name}").click()

    async def begin(self, text: str) -> None:
        """A new mission as ana; its thread opens by itself."""
        await self.page.get_by_test_id("composer").fill(text)
        await self.page.get_by_test_id("composer").press("Enter")
        await shows(self.thread, text.removeprefix("@Builder ")[:60])

    async def say(self, text: str) -> None:
        await self.page.get_by_test_id("thread-composer").fill(text)
        await self.page.get_by_test_id("thread-composer").press("Enter")

    def card(self, action: str = "deny") -> Locator:
        """The card that can be pressed now: the newest with such a button."""
        return self.thread.locator("article", has=self.page.locator(f'[data-action-id="{action}"]')).last

    async def press(self, action: str) -> None:
        await self.card(action).locator(f'[data-action-id="{action}"]').last.click()

    async def fill_and_send(self, text: str) -> None:
        modal = self.page.get_by_test_id("modal")
        await modal.locator("textarea, input").first.fill(text)
        await modal.get_by_test_id("modal-submit").click()
        await expect(modal).to_have_count(0, timeout=PATIENCE_MS)

    async def picture(self, name: str, of: Locator | None = None) -> None:
        """For people to look at: pytest --basetemp FOLDER keeps it where one finds it."""
        if of is not None:
            await of.scroll_into_view_if_needed()
            await asyncio.sleep(0.6)  # the smooth scroll
        await self.page.screenshot(path=self.pictures / f"{name}.png")


@asynccontextmanager
async def visiting(lab: Lab, pictures: Path) -> AsyncGenerator[Visit]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await chromium.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(lab.url)
        yield Visit(page, pictures)
        await chromium.close()


async def test_a_card_with_quorum_two_takes_one_approver_and_then_the_other(lab: Lab, tmp_path: Path) -> None:
    made = tmp_path / "made"
    async with visiting(lab, tmp_path) as visit:
        await visit.begin(f"@Builder Please run on web1: touch {made}")
        card = visit.card()
        await shows(card, "Votes 0 of 2")
        await visit.be("bo")
        await visit.press("approve")
        await shows(card, "Votes 1 of 2 by @bo")
        await visit.picture("quorum-one-of-two", card)
        assert not made.exists(), "nothing runs on one vote of two"
        await visit.press("approve")
        await shows(visit.thread, "Your vote is counted already: 1 of 2")
        await visit.be("chris")
        await visit.press("approve")
        await shows(visit.thread, "Approved by @bo, @chris")
        await shows(visit.thread, "exit 0 on web1")
        await visit.picture("quorum-two-of-two")
        assert made.exists()


async def test_the_home_tab_has_what_waits_with_the_same_buttons(lab: Lab, tmp_path: Path) -> None:
    made = tmp_path / "made"
    async with visiting(lab, tmp_path) as visit:
        await visit.begin(f"@Builder Please run on web1: touch {made}")
        await shows(visit.card(), "Votes 0 of 2")
        await visit.be("bo")
        await visit.page.locator('button[data-app="watchbill"]').click()
        home = visit.page.get_by_test_id("home")
        await shows(home, f"touch {made}"[:60])
        await visit.picture("home")
        row = home.locator('[data-action-id="approve"]').last
        await row.click()
        await shows(home, "is pending, 1 of 2 votes")
        await visit.be("chris")
        await shows(home, "of them for you")
        await home.locator('[data-action-id="approve"]').last.click()
        await shows(home, "is approved, 2 of 2 votes")
        await visit.picture("home-approved")
        for _ in range(300):
            if made.exists():
                break
            await asyncio.sleep(0.1)
        assert made.exists()


async def test_destroying_in_production_takes_the_name_typed(lab: Lab, tmp_path: Path) -> None:
    lost = Path("/var/tmp") / f"watchbill-{tmp_path.name}-lost"  # not a place for what may be lost
    lost.touch()
    try:
        async with visiting(lab, tmp_path) as visit:
            await visit.begin(f"@Builder Please run on web1: shred -u {lost}")
            card = visit.card()
            await shows(card, "type web1 to approve")
            await visit.be("bo")
            await visit.press("approve_typed")
            await visit.picture("typed-form")
            await visit.fill_and_send("web2")
            await shows(visit.thread, "Not approved: type exactly web1")
            assert lost.exists()
            await visit.press("approve_typed")
            await visit.fill_and_send("web1")
            await shows(visit.thread, "Approved by @bo")
            await shows(visit.thread, "exit 0 on web1")
            await visit.picture("typed-approved")
            assert not lost.exists()
    finally:
        lost.unlink(missing_ok=True)


async def test_a_grant_lets_the_same_call_run_again_until_it_is_revoked(lab: Lab, tmp_path: Path) -> None:
    made = tmp_path / "made"
    line = f"touch {made}"
    async with visiting(lab, tmp_path) as visit:
        await visit.begin(f"@Builder Please run on worker1: {line}")
        await shows(visit.card(), "“Approve for 2 h” lets exactly this call run again")
        await visit.picture("grant-offered", visit.card())
        await visit.be("bo")
        await visit.press("approve_grant")
        await shows(visit.thread, "Approved by @bo")
        await shows(visit.card("revoke"), "runs again until")
        await expect(visit.thread.get_by_text("exit 0 on worker1")).to_have_count(1, timeout=PATIENCE_MS)
        made.unlink()
        await visit.be("ana")
        await visit.say(f"@Builder again on worker1: {line}")
        await shows(visit.thread, "Approved by @bo · under grant")
        await expect(visit.thread.get_by_text("exit 0 on worker1")).to_have_count(2, timeout=PATIENCE_MS)
        await visit.picture("grant-used", visit.card("revoke"))
        assert made.exists()
        made.unlink()
        await visit.be("bo")
        await visit.press("revoke")
        await shows(visit.thread, "is revoked by bo")
        await expect(visit.thread.locator('[data-action-id="revoke"]')).to_have_count(0, timeout=PATIENCE_MS)
        await visit.be("ana")
        await visit.say(f"@Builder again on worker1: {line}")
        await shows(visit.card(), "Votes 0 of 1")
        await visit.picture("grant-revoked", visit.card())
        assert not made.exists()


async def test_narrowing_makes_a_new_request_with_votes_at_zero(lab: Lab, tmp_path: Path) -> None:
    async with visiting(lab, tmp_path) as visit:
        await visit.begin(MISSION)
        await shows(visit.card("narrow"), "+ 3 create")
        await visit.be("bo")
        await visit.press("approve")
        await shows(visit.card(), "Votes 1 of 2 by @bo")
        await visit.be("chris")
        await visit.press("narrow")
        await shows(visit.page.get_by_test_id("modal"), "cp3")
        await visit.picture("narrow-form")
        await visit.fill_and_send("cp3")
        await shows(visit.thread, "Narrowed by @chris · leave out cp3")
        await shows(visit.card("narrow"), "+ 2 create")
        await shows(visit.card(), "Votes 0 of 2")
        await shows(visit.card(), "Without cp3, as people asked")
        await visit.picture("narrowed", visit.card())
        assert lab.call("proxmox", "/lab/report")["vms_created"] == 0
