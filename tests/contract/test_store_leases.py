"""Leases on the real server: one holder, numbers that only grow, STOPs that everyone sees."""

import asyncio

from bot.domain.ids import LaneKey, Token
from bot.store.store import Store
from tests.contract.store_values import LANE


async def test_rule_1_of_many_racers_one_gets_the_lane(store: Store) -> None:
    tokens = await asyncio.gather(*(store.leases.acquire(LANE, f"w{n}", 5) for n in range(50)))
    (token,) = [one for one in tokens if one]
    assert await store.leases.acquire(LANE, token.holder, 5) is None
    assert await store.leases.acquire(LaneKey("T1/C1/2.0"), "w", 5)


async def test_rule_1_two_workers_racing_for_lanes_never_hold_one_together(store: Store) -> None:
    inside, most, turns = 0, 0, 0

    async def worker(name: str) -> None:
        nonlocal inside, most, turns
        while turns < 60:
            token = await store.leases.acquire(LANE, name, 5)
            if token:
                inside += 1
                most, turns = max(most, inside), turns + 1
                await asyncio.sleep(0.001)
                inside -= 1
                await store.leases.release(token)

    await asyncio.gather(*(worker(f"w{n}") for n in range(6)))
    assert most == 1


async def test_rule_1_an_expired_lease_cannot_be_renewed_or_released_over_its_heir(store: Store) -> None:
    old = await store.leases.acquire(LANE, "w1", 0.05)
    assert old
    assert await store.leases.renew(old, 0.05)
    await asyncio.sleep(0.08)
    assert not await store.leases.renew(old, 5)
    heir = await store.leases.acquire(LANE, "w2", 5)
    assert heir and heir.number > old.number
    await store.leases.release(old)
    assert not await store.leases.renew(old, 5)
    assert await store.leases.renew(heir, 5)
    assert not await store.leases.renew(Token(LANE, heir.number, "w3"), 5)


async def test_rule_5_every_stop_is_counted_once(store: Store) -> None:
    assert await store.leases.stops(LANE) == 0
    presses = [store.leases.raise_stop(LANE, f"press {n}") for n in range(9)]
    assert sorted(await asyncio.gather(*presses)) == list(range(1, 10))
    assert await store.leases.raise_stop(LANE, "press 3") == 9  # served again by another worker: no second press
    assert await store.leases.stops(LANE) == 9
    assert await store.leases.stops(LaneKey("T1/C1/2.0")) == 0
