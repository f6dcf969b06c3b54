"""Where a lab server listens: on this machine's loopback, and with real machines on the lab's own loopback, too."""

import argparse
import ssl

from aiohttp import web

from deploy.lab.hosts.namespaces import open_listener


def add_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--also-in",
        type=int,
        metavar="PID",
        help="listen on the loopback of this process's network, too, on the same port",
    )


async def listen(
    runner: web.AppRunner, port: int, also_in: int | None = None, tls: ssl.SSLContext | None = None
) -> int:
    """Start listening at 127.0.0.1 and return the port. The page's reader is on this machine; the program that is
    looked at lives in the network of the lab's machines. One address is right for both.
    """
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await site.start()
    taken = int(runner.addresses[0][1])
    if also_in is not None:
        await web.SockSite(runner, open_listener(also_in, taken), ssl_context=tls).start()
    return taken
