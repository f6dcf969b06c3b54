"""python -m deploy.lab.bundle --list | --want provider,terraform --cache DIR."""

import argparse
import json
import sys
from pathlib import Path

from deploy.lab.bundle.cache import UnobtainableError
from deploy.lab.bundle.items import ITEMS, Bundle, obtain


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.bundle", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="what there is to want")
    what.add_argument("--want", help="names, separated by commas")
    parser.add_argument("--cache", type=Path, default=Path(".cache/lab"), help="folder of the binaries")
    parser.add_argument("--json", action="store_true", help="one JSON object with the paths as the last line")
    return parser.parse_args()


def describe(bundle: Bundle) -> dict[str, dict[str, str]]:
    """The paths, as text, of whatever the bundle holds."""
    found = {"terraform": bundle.terraform, "provider": bundle.provider}
    return {name: {key: str(value) for key, value in vars(item).items()} for name, item in found.items() if item}


def main() -> int:
    arguments = read_arguments()
    if arguments.list:
        for name, text in ITEMS.items():
            print(f"{name:10} {text}")
        return 0
    wanted = [name.strip() for name in arguments.want.split(",") if name.strip()]
    try:
        bundle = obtain(wanted, arguments.cache, lambda line: print(line, flush=True))
    except UnobtainableError as failure:
        print(failure, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(describe(bundle)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
