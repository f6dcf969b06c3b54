"""python -m deploy.lab.bundle --list | --want provider,terraform,kubernetes --cache DIR."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.lab.bundle.cache import Cache, UnobtainableError
from deploy.lab.bundle.items import ITEMS, Bundle, find_kubernetes, obtain
from deploy.lab.bundle.programs import Program, find_program, list_programs
from deploy.lab.bundle.release import read_pins
from deploy.lab.hosts.base import obtain_base
from deploy.lab.hosts.namespaces import HostError
from deploy.lab.hosts.needs import find_missing


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.bundle", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="what there is to want: versions, sizes, sources")
    what.add_argument("--want", help="names, separated by commas")
    parser.add_argument("--cache", type=Path, default=Path(".cache/lab"), help="folder of the binaries")
    parser.add_argument("--json", action="store_true", help="one JSON object with the paths as the last line")
    return parser.parse_args()


def list_lines(folder: Path) -> Iterator[str]:
    """Every item, and below `kubernetes` every program and image: name, version, size, source."""
    notes, cluster = Cache(folder.resolve()).read_notes(), find_kubernetes(folder)
    for name, text in ITEMS.items():
        version = read_pins(name)[0]
        facts = notes.get(name, {})
        if name != "kubernetes":  # a group, whose parts follow
            installed = shutil.which("terraform") or shutil.which("tofu") if name == "terraform" else None
            path, source = facts.get("path", installed), facts.get("source", f"{text}; on PATH: {installed}")
            yield _row(name, version, _size(path), source if path else text)
            continue
        yield f"{name:34} {version:10} {'':>9}  {text}"
    for program in list_programs():
        found = find_program(program, cluster)
        where = found.source if found else _origin(program)
        yield _row(f"  {program.name}", program.version, found.size if found else None, where)
    for note, facts in sorted(cluster.read_notes().items()):
        if note.startswith("image/"):
            name, _, tag = note.rpartition("/")[2].partition(":")
            yield _row(f"  image {name}", tag, _size(facts["path"]), facts["source"])


def _row(name: str, version: str, size: int | None, source: str) -> str:
    shown = "not here" if size is None else f"{size / 2**20:.0f} MB"
    return f"{name:34} {version:10} {shown:>9}  {source}"


def _size(path: str | None) -> int | None:
    return Path(path).stat().st_size if path and Path(path).exists() else None


def _origin(program: Program) -> str:
    built = "go build through the Go module proxy"
    return f"{program.release.base}, else {built}" if program.release else built


def describe(bundle: Bundle) -> dict[str, object]:
    """The paths, as text, of whatever the bundle holds."""
    items = {"terraform": bundle.terraform, "provider": bundle.provider}
    found: dict[str, object] = {
        name: {key: str(value) for key, value in vars(item).items()} for name, item in items.items() if item
    }
    if bundle.kubernetes:
        parts = {"programs": bundle.kubernetes.programs, "images": bundle.kubernetes.images}
        paths = {part: {name: str(path) for name, path in files.items()} for part, files in parts.items()}
        found["kubernetes"] = {"version": bundle.kubernetes.version} | paths
    return found


def main() -> int:
    arguments = read_arguments()
    if arguments.list:
        print("\n".join(list_lines(arguments.cache)))
        return 0

    def say(line: str) -> None:
        print(line, flush=True)

    def find_root() -> Path:
        missing = find_missing()
        if missing:
            raise UnobtainableError(missing)
        return obtain_base(arguments.cache, say)

    wanted = [name.strip() for name in arguments.want.split(",") if name.strip()]
    try:
        bundle = obtain(wanted, arguments.cache, say, find_root)
    except (UnobtainableError, HostError) as failure:
        print(failure, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(describe(bundle)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
