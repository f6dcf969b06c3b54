"""The lab's Slack server with many people in it, told over HTTP to post at a pace: its own process, its own core.

POST /drive {"count", "per_second", "apps": [keys]} posts replies of 200 people in 200 threads and answers with the
stamps; only `apps` are in the channel. GET /lab/acks (the lab's own) says how long the acks took.
"""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.lab.lifetime import end_with_parent, wait_for_end, write_ready_file
from deploy.lab.slack.messages import message_of_person, post
from deploy.lab.slack.server import LabServer
from deploy.lab.slack.workspace import Options, Workspace
from deploy.lab.slack.world import Person

PEOPLE = 200
CHANNEL = "C0LAB00001"


class Driver:
    """Posts as a crowd. Each person has a thread of their own, so that nothing is made one message."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._channel = workspace.world.channels[CHANNEL]
        self._people = [f"U0CROWD{number:03d}" for number in range(PEOPLE)]
        self._threads: list[str] = []

    def settle_in(self) -> None:
        bots = {app.user_id for app in self._workspace.world.apps.values()}
        self._channel.members -= bots
        for number, user in enumerate(self._people):
            self._workspace.world.people[user] = Person(user, f"crowd{number}", "Crowd", "#777777")
            message = message_of_person(self._workspace, user, "a thread of mine")
            self._threads.append(post(self._workspace, self._channel, message)["ts"])

    async def drive(self, request: web.Request) -> web.Response:
        order: dict[str, Any] = await request.json()
        bots = {app.user_id for app in self._workspace.world.apps.values()}
        wanted = {app.user_id for key, app in self._workspace.world.apps.items() if key in order["apps"]}
        self._channel.members = (self._channel.members - bots) | wanted
        count, pace = int(order["count"]), float(order["per_second"])
        after, began = time.time(), time.monotonic()
        stamps: list[str] = []
        while len(stamps) < count:
            due = min(count, int((time.monotonic() - began) * pace) + 1)
            stamps += [self._post(number) for number in range(len(stamps), due)]
            await asyncio.sleep(0.5 / pace)
        return web.json_response({"ts": stamps, "after": after, "seconds": time.monotonic() - began})

    def _post(self, number: int) -> str:
        user, thread = self._people[number % PEOPLE], self._threads[number % PEOPLE]
        message = message_of_person(self._workspace, user, f"reply number {number}, please look at node pve1")
        return str(post(self._workspace, self._channel, message, thread)["ts"])


async def _serve(ready_file: Path) -> None:
    async with LabServer(Options()) as lab:
        driver = Driver(lab.workspace)
        driver.settle_in()
        app = web.Application()
        app.router.add_post("/drive", driver.drive)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        facts = lab.workspace.ready_facts() | {"driver": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        write_ready_file(ready_file, facts)
        await wait_for_end()
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True)
    given = parser.parse_args()
    end_with_parent()
    asyncio.run(_serve(given.ready_file))
