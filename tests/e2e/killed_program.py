"""The real program, which SIGKILLs itself at one point: `python -m tests.e2e.killed_program POINT --ready-file F`.

A point is <class>.<method>:<before|after>, with an argument's kind where a method has several uses. Nothing in bot/ or
tools/ knows of it: the methods are wrapped here, and the program is then started as `python -m bot run` starts it.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bot.app import serve
from bot.domain.inbound import Settled
from bot.domain.log import ApprovalAsked, ApprovalEnded
from bot.gate.ledger import ExecutionLedger
from bot.settings import load
from bot.store.approvals import RedisApprovals
from bot.store.inbox import RedisInbox
from bot.store.journal import RedisJournal
from tools import terraform_apply
from tools.terraform_apply import TerraformApply

Matches = Callable[..., bool]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def always(*_: Any, **__: Any) -> bool:
    return True


def puts_settled(_: Any, __: Any, item: Any) -> bool:
    return isinstance(item, Settled)


def logs(kind: type) -> Matches:
    def matches(_: Any, __: Any, ___: Any, commit: Any) -> bool:
        return any(isinstance(entry, kind) for entry in commit.entries)

    return matches


STEPS: dict[str, tuple[type, str, Matches]] = {
    "create": (RedisApprovals, "create", always),
    "asked-logged": (RedisJournal, "commit", logs(ApprovalAsked)),
    "vote": (RedisApprovals, "vote", always),
    "settled-put": (RedisInbox, "put", puts_settled),
    "consume": (RedisApprovals, "consume", always),
    "run": (TerraformApply, "run", always),
    "finish": (RedisApprovals, "finish", always),
    "ended-logged": (RedisJournal, "commit", logs(ApprovalEnded)),
}
POINTS = (
    *(f"{step}:{when}" for step in STEPS for when in ("before", "after")),
    "ledger:after",
    "child:started",
    "child:running",
)


def wrap(owner: Any, name: str, matches: Matches, when: str) -> None:
    real: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def killed(*args: Any, **kwargs: Any) -> Any:
        hit = matches(*args, **kwargs)
        if hit and when == "before":
            die()
        answer = await real(*args, **kwargs)
        if hit and when == "after":
            die()
        return answer

    setattr(owner, name, killed)


def arm(point: str) -> None:
    step, when = point.split(":")
    match step:
        case "ledger":
            real_begin = ExecutionLedger.begin

            def begin(self: ExecutionLedger, request: Any) -> bool:
                begun = real_begin(self, request)
                die()
                return begun

            ExecutionLedger.begin = begin
        case "child":
            real_attend: Any = terraform_apply.attend  # the tool's wait for its child
            delay = 0.0 if when == "started" else 1.0

            async def attend(*args: Any, **kwargs: Any) -> Any:
                asyncio.get_running_loop().call_later(delay, die)
                return await real_attend(*args, **kwargs)

            terraform_apply.attend = attend
        case _:
            owner, name, matches = STEPS[step]
            wrap(owner, name, matches, when)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("point", choices=POINTS)
    parser.add_argument("--ready-file", type=Path)
    given = parser.parse_args()
    arm(given.point)
    return serve(load(), "run", given.ready_file)


if __name__ == "__main__":
    raise SystemExit(main())
