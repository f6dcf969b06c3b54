"""A mission's machines as a picture: nodes with what runs on them, the network, and what was seen to answer. Pure."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.domain.state import Built

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

MARGIN, GAP = 48, 28
MACHINE_W, MACHINE_H = 250, 84
DOOR_W, DOOR_H = 420, 58
PER_ROW = 2  # machines beside each other on one node
PAPER, INK, SOFT, LINE = "#ffffff", "#1d2733", "#5b6875", "#9aa7b4"
NODE, MACHINE, DOOR, WIRE = "#eef2f6", "#ffffff", "#e6f3ea", "#2f6f9f"
MOST = 48  # machines drawn; the report lists all


@dataclass(frozen=True, slots=True)
class Answering:
    """Something outside that a probe saw answering: where, and what it said ("HTTP 200")."""

    where: str
    said: str


def draw(title: str, machines: Sequence[Built], doors: Sequence[Answering]) -> bytes:
    """A PNG. Nodes stand side by side in the order of their names, machines as they were made."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 # a tenth of a second and 10 MB that only a mission's end needs

    nodes: dict[str, list[Built]] = {}
    for machine in sorted(machines[:MOST], key=lambda one: one.node):
        nodes.setdefault(machine.node or "no node", []).append(machine)
    widths = [_node_width(found) for found in nodes.values()]
    doors = doors[:3]
    width = max(sum(widths) + GAP * (len(widths) - 1), len(doors) * (DOOR_W + GAP) - GAP, 560) + 2 * MARGIN
    tallest = max((_rows(found) for found in nodes.values()), default=1)
    wire_y = MARGIN + 70 + (DOOR_H + 50 if doors else 0)
    height = wire_y + 60 + 56 + tallest * (MACHINE_H + 18) + MARGIN
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture)
    _text(pen, (MARGIN, MARGIN - 10), title, 26, INK, width - 2 * MARGIN)
    _wire(pen, wire_y, width, _network(machines))
    for number, door in enumerate(doors):
        _door(pen, MARGIN + number * (DOOR_W + GAP), MARGIN + 52, wire_y, door)
    left = MARGIN
    for (name, found), wide in zip(nodes.items(), widths, strict=True):
        _node(pen, (left, wire_y + 60, left + wide, height - MARGIN), wire_y, name, found)
        left += wide + GAP
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _rows(machines: Sequence[Built]) -> int:
    return -(-len(machines) // PER_ROW)


def _node_width(machines: Sequence[Built]) -> int:
    columns = min(PER_ROW, len(machines))
    return columns * MACHINE_W + (columns - 1) * 16 + 40


def _network(machines: Sequence[Built]) -> str:
    """What all addresses begin with, as people write a network of 256."""
    starts = {machine.address.rpartition(".")[0] for machine in machines if machine.address.count(".") == 3}
    return f"LAN {starts.pop()}.0/24" if len(starts) == 1 else "LAN"


def _wire(pen: "ImageDraw", y: int, width: int, name: str) -> None:
    pen.line((MARGIN, y, width - MARGIN, y), fill=WIRE, width=4)
    _text(pen, (MARGIN, y + 8), name, 17, WIRE, width - 2 * MARGIN)


def _door(pen: "ImageDraw", x: int, y: int, wire_y: int, door: Answering) -> None:
    pen.line((x + DOOR_W // 2, y + DOOR_H, x + DOOR_W // 2, wire_y), fill=WIRE, width=2)
    pen.rounded_rectangle((x, y, x + DOOR_W, y + DOOR_H), 12, DOOR, LINE, 2)
    _text(pen, (x + 14, y + 7), door.where, 18, INK, DOOR_W - 28)
    _text(pen, (x + 14, y + 32), door.said, 15, SOFT, DOOR_W - 28)


def _node(pen: "ImageDraw", box: tuple[int, int, int, int], wire_y: int, name: str, machines: Sequence[Built]) -> None:
    left, top, right, _ = box
    pen.line(((left + right) // 2, wire_y, (left + right) // 2, top), fill=WIRE, width=2)
    pen.rounded_rectangle(box, 14, NODE, LINE, 2)
    _text(pen, (left + 20, top + 12), f"{name} · {len(machines)} VM{'s' * (len(machines) != 1)}", 19, INK, right - left)
    for number, machine in enumerate(machines):
        row, column = divmod(number, PER_ROW)
        x, y = left + 20 + column * (MACHINE_W + 16), top + 50 + row * (MACHINE_H + 18)
        pen.rounded_rectangle((x, y, x + MACHINE_W, y + MACHINE_H), 10, MACHINE, LINE, 2)
        _text(pen, (x + 14, y + 12), machine.name, 22, INK, MACHINE_W - 28)
        facts = (machine.address, f"VM {machine.vmid}" if machine.vmid else "")
        _text(pen, (x + 14, y + 48), " · ".join(fact for fact in facts if fact), 16, SOFT, MACHINE_W - 28)


def _text(pen: "ImageDraw", at: tuple[int, int], words: str, size: int, colour: str, room: int) -> None:
    """One line, cut with … where it has no room."""
    from PIL import ImageFont  # noqa: PLC0415 # as above

    font = ImageFont.load_default(size)
    shown = words
    while shown and pen.textlength(shown + ("…" if shown != words else ""), font=font) > room:
        shown = shown[:-1]
    pen.text(at, shown + ("…" if shown != words else ""), fill=colour, font=font)
