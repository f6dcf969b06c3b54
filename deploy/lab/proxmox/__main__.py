"""python -m deploy.lab.proxmox --port 0 --data DIR --ready-file FILE [--hosts CACHE]."""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from aiohttp import web

from deploy.lab.bundle.cache import UnobtainableError
from deploy.lab.hosts.base import obtain_base
from deploy.lab.hosts.data_centre import DataCentre, powered
from deploy.lab.hosts.namespaces import HostError
from deploy.lab.hosts.needs import find_missing
from deploy.lab.lifetime import end_with_parent, wait_for_end, write_ready_file
from deploy.lab.listening import listen
from deploy.lab.proxmox.certificates import prepare_tls
from deploy.lab.proxmox.hardware import Entries, Hardware
from deploy.lab.proxmox.record import Record
from deploy.lab.proxmox.server import build_app, build_site


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.proxmox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the cluster's state; kept over restarts")
    parser.add_argument("--ready-file", type=Path, help="written when the server listens")
    parser.add_argument("--pace", type=float, default=0.3, help="seconds that a task takes")
    parser.add_argument("--boot", type=float, help="seconds from start to a running guest agent; default: the pace")
    parser.add_argument("--hosts", type=Path, metavar="CACHE", help="real machines; their Debian is made and kept here")
    parser.add_argument("--log-level", default="warning")
    return parser.parse_args()


@contextlib.asynccontextmanager
async def choose_hardware(arguments: argparse.Namespace) -> AsyncGenerator[Hardware]:
    if arguments.hosts is None:
        yield Entries(arguments.pace if arguments.boot is None else arguments.boot)
        return
    missing = find_missing()
    if missing:
        raise HostError(missing)
    base = obtain_base(arguments.hosts, lambda line: print(line, flush=True))
    async with powered(arguments.data / "machines", base, arguments.hosts / "hosts" / "runs") as centre:
        yield centre


async def serve(arguments: argparse.Namespace) -> None:
    context, ca_file = prepare_tls(arguments.data)
    async with choose_hardware(arguments) as hardware:
        site = build_site(arguments.data, hardware, pace=arguments.pace)
        keeper = hardware.keeper if isinstance(hardware, DataCentre) else None
        if isinstance(hardware, DataCentre):
            hardware.went_off = site.power.note_power_off
        await site.power.recover()
        runner = web.AppRunner(build_app(site, Record(arguments.data)), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            url = f"https://127.0.0.1:{await listen(runner, arguments.port, keeper, context)}"
            if arguments.ready_file:
                facts = describe(url, ca_file, site.world.state["tokens"])
                write_ready_file(arguments.ready_file, facts | ({"keeper": keeper} if keeper else {}))
            print(f"lab proxmox: {url}", flush=True)
            await wait_for_end()
        finally:
            await runner.cleanup()


def describe(url: str, ca_file: Path, tokens: dict[str, dict[str, str]]) -> dict[str, object]:
    def spell(identity: str) -> str:
        return f"{identity}={tokens[identity]['value']}"

    return {
        "url": url,
        "pid": os.getpid(),
        "ca": str(ca_file.resolve()),
        "audit_token": spell("audit@pve!watchbill"),
        "write_token": spell("builder@pve!watchbill"),
        "agent_token": spell("keys@pve!watchbill"),
    }


def main() -> int:
    end_with_parent()
    arguments = read_arguments()
    arguments.data.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=arguments.log_level.upper())
    try:
        asyncio.run(serve(arguments))
    except (HostError, UnobtainableError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
