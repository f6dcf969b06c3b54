"""Every conversation of this folder, played with the real engine, store and gate."""

from pathlib import Path

import pytest

from bot.store.store import Store
from tests.scenario_play import Player, read, scenarios


def name_of(path: Path) -> str:
    rules = "".join(f"rule_{number}_" for number in read(path).rules)
    return f"{rules}{path.stem}"


@pytest.mark.parametrize("path", scenarios(), ids=name_of)
async def test_conversation(path: Path, crew_store: Store, tmp_path: Path) -> None:
    player = Player(read(path), crew_store, tmp_path)
    await player.play()
    assert player.looks, "a conversation in which nothing is expected shows nothing"
