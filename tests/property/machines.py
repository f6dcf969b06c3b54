"""What the state machines over the real store share: one server for a module, a prefix for each machine, and its end."""

import asyncio
import secrets
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from bot.store.connection import connect
from bot.store.store import Store, over


async def on_disk() -> bool:
    """The disk is not what is tested here."""
    return True


class StoreMachine(RuleBasedStateMachine):
    """Steps against a store that nobody else uses. `effects` counts what must have happened somewhere in a run of many."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store: Store = over(self.runner.run(connect(self.url, f"{secrets.token_hex(4)}:", sync=on_disk)))
        self.effects = 0

    def teardown(self) -> None:
        self.runner.run(self.store.aclose())
        self.runner.close()


@dataclass
class Played:
    machines: int = 0
    effects: int = 0


def play(machine: type[StoreMachine], url: str, *, examples: int, steps: int) -> Played:
    """Run `machine` in `examples` orders of at most `steps` steps; what they did together."""
    played = Played()

    class Here(machine):
        def teardown(self) -> None:
            played.machines += 1
            played.effects += self.effects
            super().teardown()

    Here.url = url
    slow = [HealthCheck.too_slow]
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType] - hypothesis leaves its settings untyped
        Here,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=slow
        ),
    )  # fmt: skip
    return played
