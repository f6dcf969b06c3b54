"""Which volumes, images and host devices a machine's values name, besides what Proxmox makes for it. Pure.

A disk's path is computed: after an apply every disk has one. It is the machine's own where it carries its number.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

OWN_PATH: Final = "path_in_datastore"
SOURCES: Final = ("file_id", "import_from")  # copied into a disk of the machine's own
NO_DISC: Final = frozenset({"", "none"})
HARMLESS_SOURCES: Final = frozenset({"", "/dev/urandom", "/dev/random"})
_VOLUME: Final = re.compile(r"(?:vm|base|subvol|image)-(\d+)-")


def foreign_volumes(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, what) for every volume that is not this machine's own, and every device or file of its host."""
    own = str(values.get("vm_id") or "")
    for number, disk in enumerate(_rows(values.get("disk"))):
        path = _text(disk.get(OWN_PATH))
        if path and not _is_own(path, own):
            yield f"disk.{number}.{OWN_PATH}", path
        for name in SOURCES:
            source = _text(disk.get(name))
            if source.startswith("/") or _VOLUME.search(source):
                yield f"disk.{number}.{name}", source
    for number, drive in enumerate(_rows(values.get("cdrom"))):
        disc = _text(drive.get("file_id"))
        if disc == "cdrom" or disc.startswith("/") or _VOLUME.search(disc):
            yield f"cdrom.{number}.file_id", disc
    for number, port in enumerate(_rows(values.get("serial_device"))):
        device = _text(port.get("device"))
        if device not in {"", "socket"}:
            yield f"serial_device.{number}.device", device
    for number, source in enumerate(_rows(values.get("rng"))):
        file = _text(source.get("source"))
        if file not in HARMLESS_SOURCES:
            yield f"rng.{number}.source", file


def uses_existing(values: Mapping[str, Any], unknown: Mapping[str, Any], said: Any) -> list[str]:
    """What of a machine names something that exists, for the card. `said`: the code's expressions for its resource,
    None where they are not at hand. What cannot be told counts.
    """
    found = [what for _, what in foreign_volumes(values)]
    for disk in _rows(values.get("disk")):
        found += [_text(disk.get(name)) for name in SOURCES]
    found += [disc for drive in _rows(values.get("cdrom")) if (disc := _text(drive.get("file_id"))) not in NO_DISC]
    marks = unknown.get("disk")
    for disk in cast("list[Any]", marks) if isinstance(marks, list) else [marks]:
        names = ("disk",) if disk is True else tuple(n for n in (OWN_PATH, *SOURCES) if _at(disk).get(n) is True)
        if (disk is True or names) and _may_say(said, names):
            found.append("a disk whose volume is known only at apply")
    return list(dict.fromkeys(what for what in found if what))


def _may_say(said: Any, names: Sequence[str]) -> bool:
    """Whether the code gives one of `names` in a disk; dynamic blocks are in no expressions, so those may."""
    if said is None or "disk" not in said or "disk" in names:
        return True
    disks = said["disk"]
    rows = cast("list[Any]", disks) if isinstance(disks, list) else [disks]
    return any(name in _at(row) for row in rows for name in names)


def _is_own(path: str, number: str) -> bool:
    numbers = set(_VOLUME.findall(path.rpartition("/")[2]))
    return not path.startswith(("/", ".")) and bool(number) and numbers == {number}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _at(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _rows(value: object) -> list[Mapping[str, Any]]:
    rows = cast("Sequence[object]", value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [_at(row) for row in rows]
