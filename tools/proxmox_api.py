"""One request to Proxmox VE through proxmoxer, with errors in words for whoever has to act."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

ANSWER_S: Final = 15.0


class ProxmoxError(Exception):
    """Proxmox did not answer as hoped. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One Proxmox VE cluster through one node's API. `token`: user@realm!name=uuid with PVEAuditor; `setting` names it."""

    url: str
    token: str = field(repr=False)
    ca: Path | None = None
    setting: str = "WATCHBILL_PROXMOX_AUDIT_TOKEN"

    def get(self, *path: str | int, **query: str) -> Any:
        """One GET. Raises ProxmoxError with words for whoever has to act."""
        return ask(self, "get", path, query)

    async def census(self) -> Sequence[tuple[int, str, str]]:
        """vmid, name and node of every machine that Proxmox has, whoever made it."""
        rows = rows_of(await asyncio.to_thread(self.get, "cluster", "resources"))
        return [
            (int_of(row, "vmid"), str(row.get("name", "")), str(row.get("node", "")))
            for row in rows
            if row.get("type") == "qemu"
        ]


def ask(
    cluster: Cluster, verb: Literal["get", "post", "put"], path: Sequence[str | int], fields: Mapping[str, str]
) -> Any:
    """One request. What writes goes through tools/proxmox_power.py. Raises ProxmoxError."""
    import proxmoxer  # noqa: PLC0415 # half a second and 5 MB of imports that only this needs
    import requests  # noqa: PLC0415

    parts = urlsplit(cluster.url)
    user, _, rest = cluster.token.partition("!")
    name, _, value = rest.partition("=")
    if not (parts.hostname and name and value):
        raise ProxmoxError(f"Set WATCHBILL_PROXMOX_URL and {cluster.setting} (user@realm!name=uuid).")
    try:
        api: Any = proxmoxer.ProxmoxAPI(
            parts.hostname, port=parts.port or 8006, user=user, token_name=name, token_value=value,
            verify_ssl=str(cluster.ca) if cluster.ca else True, timeout=ANSWER_S,
        )  # fmt: skip
        return getattr(api("/".join(str(part) for part in path)), verb)(**fields)
    except proxmoxer.ResourceException as error:
        said = cast("Any", error)  # the library is not typed
        raise ProxmoxError(
            _words(said.status_code, f"{said.status_message} {said.content}", cluster.setting)
        ) from error
    except proxmoxer.AuthenticationError as error:
        raise ProxmoxError(f"Proxmox does not take the token of {cluster.setting}: {error}") from error
    except requests.exceptions.SSLError as error:
        raise ProxmoxError(f"The certificate of {parts.hostname} does not verify: set WATCHBILL_PROXMOX_CA.") from error
    except requests.exceptions.Timeout as error:
        raise ProxmoxError(f"{parts.hostname} did not answer within {ANSWER_S:.0f} s.") from error
    except requests.exceptions.RequestException as error:
        raise ProxmoxError(f"{parts.hostname} cannot be reached: {type(error).__name__}.") from error


def rows_of(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("Mapping[str, Any]", item) for item in cast("list[Any]", value) if isinstance(item, Mapping)]


def float_of(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def int_of(row: Mapping[str, Any], key: str) -> int:
    return int(float_of(row, key))


def _words(status: int, text: str, setting: str) -> str:
    said = " ".join(text.split())[:300]
    token = "audit token" if "AUDIT" in setting else f"token of {setting}"
    match status:
        case 401:
            return f"Proxmox does not take the {token} (401 {said}). Check {setting}."
        case 403:
            needs = " It needs the role PVEAuditor on /." if "AUDIT" in setting else ""
            return f"The {token} may not do this (403 {said}).{needs}"
        case 595 | 596:
            return f"The node behind this API cannot be reached ({status} {said}). Is it up?"
        case _:
            return f"Proxmox answers {status} {said}"
