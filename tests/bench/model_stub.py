"""A chat-completions endpoint without latency: asked with a tool result last it speaks, else it calls proxmox_read once."""

import argparse
import asyncio
import json
from pathlib import Path

from deploy.lab.lifetime import end_with_parent, wait_for_end, write_ready_file

USAGE = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}
CALL = {
    "id": "call_1", "type": "function",
    "function": {"name": "proxmox_read", "arguments": json.dumps({"what": "nodes"})},
}  # fmt: skip


def _answer(message: dict[str, object], finish: str) -> bytes:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice], "usage": USAGE}
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


CALLS = _answer({"content": None, "tool_calls": [CALL]}, "tool_calls")
SPEAKS = _answer({"content": "Both nodes are online and have room; three machines fit."}, "stop")


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Requests of one kept connection; no framework, so that little of a figure is this server's."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            body = json.loads(await reader.readexactly(length))
            writer.write(SPEAKS if body["messages"][-1]["role"] == "tool" else CALLS)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _serve(ready_file: Path) -> None:
    listening = await asyncio.start_server(_serve_one, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    write_ready_file(ready_file, {"url": f"http://127.0.0.1:{port}/v1"})
    await wait_for_end()
    listening.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready-file", type=Path, required=True)
    given = parser.parse_args()
    end_with_parent()
    asyncio.run(_serve(given.ready_file))
