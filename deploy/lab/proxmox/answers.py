"""What the API says: data, or one of Proxmox's own error shapes."""

import json
from typing import Any

from aiohttp import web

PARAMETERS_WRONG = "Parameter verification failed."


class Refused(Exception):  # noqa: N818 - named for what happened, as Proxmox's own "raise" is
    """A call that Proxmox answers with an error: status, one-line reason, and for a 400 the `errors` map."""

    def __init__(self, status: int, reason: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.errors = errors


def failed(reason: str) -> Refused:
    """The everyday error: Perl died, so the status is 500 and the reason is its message."""
    return Refused(500, reason)


def wrong_parameters(errors: dict[str, str]) -> Refused:
    return Refused(400, PARAMETERS_WRONG, errors)


def forbidden(path: str, privileges: str) -> Refused:
    return Refused(403, f"Permission check failed ({path}, {privileges})")


def _encode(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def render_data(data: object) -> web.Response:
    return web.Response(body=_encode({"data": data}), content_type="application/json", charset="UTF-8")


def render_refusal(refused: Refused) -> web.Response:
    """Proxmox puts the message into the status line; clients read it from there."""
    payload: dict[str, Any] = {"data": None, "message": f"{refused.reason}\n"}
    if refused.errors:
        payload["errors"] = refused.errors
    reason = refused.reason.replace("\r", " ").replace("\n", " ")
    return web.Response(
        status=refused.status,
        reason=reason,
        body=_encode(payload),
        content_type="application/json",
        charset="UTF-8",
    )
