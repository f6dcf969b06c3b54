"""A worker that starts with other policies than the ones under which something waits."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.domain.inbound import VoteCast
from bot.store.store import Store
from tests.fakes import BO
from tests.scenario_play import Player, Scenario, Step, line_of, read

HERE = Path(__file__).resolve().parent
AGAIN = {"hears": "no longer fits .the policies changed since it was asked.", "calls": [{"terraform_apply": {"plan": "{plan}", "words": "again"}}]}  # fmt: skip


@pytest.fixture
def player(crew_store: Store, tmp_path: Path) -> Player:
    scenario = read(HERE / "reminder_at_half_time.yaml")
    again = Scenario.model_validate({"about": "the policies change while it waits", "steps": [], "model": {"builder": [AGAIN]}})  # fmt: skip
    model = {**scenario.model, "builder": [*scenario.model["builder"], *again.model["builder"]]}
    return Player(scenario.model_copy(update={"model": model}), crew_store, tmp_path)


async def asked(player: Player) -> None:
    async with player.house.work():
        await player.take(Step(say="@Architect Build three VMs."))
    player.house.policy_version = "v2"


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """A worker's start is no item that `quiet` could see."""
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0.01)


def seen(player: Player) -> list[str]:
    lines = [line_of(post) for post in player.house.shown]
    new, player.seen = lines[player.seen :], len(lines)
    return new


async def test_rule_11_what_waits_under_other_policies_is_void_with_a_word_and_asked_anew(player: Player) -> None:
    await asked(player)
    before = player.request()
    seen(player)
    store = player.house.store

    async def asked_anew() -> bool:
        return any(one.policy_version == "v2" for one in await store.approvals.pending())

    async with player.house.work():
        await until(asked_anew)
        await player.house.quiet()
        new = seen(player)
        player.in_order(["approval: .* · Superseded · the policies changed since it was asked; nothing ran"], new)
        player.in_order(
            ["notice: Request [0-9a-f]{4} is void: the policies changed since it was asked. Nothing ran"], new
        )
        player.in_order(["approval: .* waits for bo, chris"], new)
        assert player.request() != before
        assert not player.house.model.wrong
    again = await player.house.store.approvals.get(player.request())
    assert again and again.policy_version == "v2"
    kinds = [event.kind for _, _, event in await player.house.store.audit.read()]
    assert kinds.count("request.superseded") == 1


async def test_rule_11_a_click_in_a_worker_of_other_policies_voids_it_too(player: Player) -> None:
    """Another worker, of other policies, had started before the request was made: nothing voided it at its start."""
    await asked(player)
    request = player.request()
    engine = player.house.engine()
    desk = engine._p.desk  # pyright: ignore[reportPrivateUsage] # a worker that is not starting
    await desk.serve(VoteCast(request, "approve", "", "", player.reply(BO)))
    await player.house.pump()
    player.in_order(["only bo: Request [0-9a-f]{4} no longer fits: the policies changed", "approval: .*Superseded"], seen(player))  # fmt: skip
    stored = await player.house.store.approvals.get(request)
    assert stored and (stored.status, stored.votes) == ("superseded", ())


async def test_other_policies_end_grants_on_the_card(crew_store: Store, tmp_path: Path) -> None:
    player = Player(read(HERE / "stop_ends_a_grant.yaml"), crew_store, tmp_path)
    async with player.house.work():
        await player.take(Step(say="@Architect Build three VMs."))
        await player.take(Step(click="approve_grant", by="bo"))
    assert len(await crew_store.grants.of()) == 1
    player.house.policy_version = "v2"

    async def ended() -> bool:
        return not await crew_store.grants.of()

    async with player.house.work():
        await until(ended)
        await player.house.quiet()
    (card,) = [line_of(post) for key, post in player.house.latest.items() if key.startswith("card:")]
    assert "grant" not in card
