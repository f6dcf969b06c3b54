"""`python -m deploy.lab.slack --port 0 --ready-file FILE`."""

import argparse
import asyncio
import logging
import os
from pathlib import Path

from deploy.lab.lifetime import end_with_parent, wait_for_end, write_ready_file
from deploy.lab.listening import add_argument

from .server import LabServer
from .workspace import Options


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.slack", description="A Slack workspace on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--data", type=Path, help="accepted as the other servers do; nothing is stored")
    parser.add_argument("--ready-file", type=Path, help="where url, ids and tokens are written when it listens")
    parser.add_argument("--solo", action="store_true", help="apps have chat:write.customize")
    parser.add_argument("--ack-seconds", type=float, default=3.0, help="how long an ack may take")
    parser.add_argument("--retry-scale", type=float, default=1.0, help="times 0 s, 60 s, 300 s between redeliveries")
    parser.add_argument("--trigger-seconds", type=float, default=3.0, help="how long a trigger id is good")
    parser.add_argument("--rate-scale", type=float, default=1.0, help="times Slack's rates; 0 switches limits off")
    parser.add_argument("--log-level", default="warning")
    add_argument(parser)
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    options = Options(
        solo=arguments.solo,
        ack_seconds=arguments.ack_seconds,
        retry_scale=arguments.retry_scale,
        trigger_seconds=arguments.trigger_seconds,
        rate_scale=arguments.rate_scale,
    )
    async with LabServer(options, port=arguments.port, also_in=arguments.also_in) as lab:
        if arguments.ready_file is not None:
            write_ready_file(arguments.ready_file, {**lab.workspace.ready_facts(), "pid": os.getpid()})
        print(f"lab slack: {lab.url}", flush=True)
        await wait_for_end()


def main() -> None:
    end_with_parent()
    arguments = parse_arguments()
    logging.basicConfig(level=arguments.log_level.upper())
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
