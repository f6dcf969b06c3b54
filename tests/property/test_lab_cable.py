"""A bad cable keeps the order of frames, is late by what was asked, and invents nothing."""

import random

from hypothesis import given
from hypothesis import strategies as st

from deploy.lab.hosts.cable import Cable

FRAMES = st.lists(st.tuples(st.integers(0, 1), st.binary(min_size=1, max_size=20), st.floats(0, 0.5)), max_size=40)


@given(FRAMES, st.floats(0, 2))
def test_every_frame_arrives_once_at_the_other_end_in_order_and_late(
    frames: list[tuple[int, bytes, float]], delay: float
) -> None:
    cable = Cable(delay, 0.0)
    now, sent = 0.0, dict[int, list[tuple[float, bytes]]]({0: [], 1: []})
    for end, frame, pause in frames:
        now += pause
        cable.carry(end, frame, now)
        sent[1 - end].append((now, frame))
    got: dict[int, list[bytes]] = {0: [], 1: []}
    while cable.waiting:
        at = now + cable.pause(now)
        for end, frame in cable.due(at):
            assert at >= sent[end][len(got[end])][0] + delay
            got[end].append(frame)
        now = at
    assert {end: [frame for _, frame in frames_] for end, frames_ in sent.items()} == got


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_loses_about_its_share(seed: int, loss: float) -> None:
    cable = Cable(0.0, loss, random.Random(seed).random)
    for _ in range(2000):
        cable.carry(0, b"x", 0.0)
    arrived = len(cable.due(0.0)) / 2000
    assert abs(arrived - (1 - loss)) < 0.06


def test_an_idle_cable_sleeps() -> None:
    assert Cable(1.0, 0.0).pause(5.0) == 1.0
