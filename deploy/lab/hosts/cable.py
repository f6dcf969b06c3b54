"""python -m deploy.lab.hosts.cable NEAR FAR --delay-ms N --loss-percent P: a bad cable between two network cards.

Carries every frame from one to the other, late, and drops some. The kernel's own netem would do it, but kernels of
small virtual machines come without; frames through a process work everywhere, and only while a fault is on.
"""

import argparse
import heapq
import itertools
import random
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

ETH_P_ALL = 0x0003
LARGEST = 65536 + 64
OWN = 4  # PACKET_OUTGOING: what this process itself put on the card


@dataclass
class Cable:
    """`carry` takes a frame that came in at one end; `due` gives those whose time has come, for the other end."""

    delay_s: float
    loss: float
    chance: Callable[[], float] = random.random
    waiting: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)

    def carry(self, end: int, frame: bytes, now: float) -> None:
        if self.chance() >= self.loss:
            heapq.heappush(self.waiting, (now + self.delay_s, next(self._serial), 1 - end, frame))

    def due(self, now: float) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while self.waiting and self.waiting[0][0] <= now:
            _, _, end, frame = heapq.heappop(self.waiting)
            found.append((end, frame))
        return found

    def pause(self, now: float) -> float:
        """Seconds until the next frame is due; a second when none waits."""
        return max(0.0, self.waiting[0][0] - now) if self.waiting else 1.0


def open_card(name: str) -> socket.socket:
    card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    card.bind((name, ETH_P_ALL))
    card.setblocking(False)
    return card


def take(card: socket.socket) -> list[bytes]:
    frames: list[bytes] = []
    while True:
        try:
            frame, address = card.recvfrom(LARGEST)
        except BlockingIOError:
            return frames
        if address[2] != OWN:
            frames.append(frame)


def work(cable: Cable, cards: list[socket.socket]) -> None:
    ends = {card.fileno(): number for number, card in enumerate(cards)}
    poll = select.poll()
    for card in cards:
        poll.register(card, select.POLLIN)
    while True:
        ready = poll.poll(cable.pause(time.monotonic()) * 1000)
        now = time.monotonic()
        for handle, _ in ready:
            for frame in take(cards[ends[handle]]):
                cable.carry(ends[handle], frame, now)
        for end, frame in cable.due(time.monotonic()):
            try:
                cards[end].send(frame)
            except OSError:  # too long for the card, or the card is down: a frame lost, as on any cable
                continue


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.hosts.cable", description=__doc__)
    parser.add_argument("near")
    parser.add_argument("far")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="each way")
    parser.add_argument("--loss-percent", type=float, default=0.0, help="each way")
    given = parser.parse_args()
    cards = [open_card(given.near), open_card(given.far)]
    print("ready", flush=True)
    work(Cable(given.delay_ms / 1000, given.loss_percent / 100), cards)
    return 0


if __name__ == "__main__":
    sys.exit(main())
