"""python -m deploy.lab.proxmox --port 0 --data DIR --ready-file FILE."""

import argparse
import asyncio
import logging
import os
from pathlib import Path

from aiohttp import web

from deploy.lab.lifetime import end_with_parent, wait_for_end, write_ready_file
from deploy.lab.proxmox.certificates import prepare_tls
from deploy.lab.proxmox.hardware import Entries
from deploy.lab.proxmox.record import Record
from deploy.lab.proxmox.server import build_app, build_site


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.proxmox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the cluster's state; kept over restarts")
    parser.add_argument("--ready-file", type=Path, help="written when the server listens")
    parser.add_argument("--pace", type=float, default=0.3, help="seconds that a task takes")
    parser.add_argument("--boot", type=float, help="seconds from start to a running guest agent; default: the pace")
    parser.add_argument("--log-level", default="warning")
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.data
    boot = arguments.pace if arguments.boot is None else arguments.boot
    site = build_site(folder, Entries(boot), pace=arguments.pace)
    context, ca_file = prepare_tls(folder)
    runner = web.AppRunner(build_app(site, Record(folder)), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", arguments.port, ssl_context=context)
        await listener.start()
        host, port = runner.addresses[0][:2]
        url = f"https://{host}:{port}"
        if arguments.ready_file:
            write_ready_file(arguments.ready_file, describe(url, ca_file, site.world.state["tokens"]))
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
    }


def main() -> None:
    end_with_parent()
    arguments = read_arguments()
    arguments.data.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=arguments.log_level.upper())
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
