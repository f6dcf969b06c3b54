"""Misbehaviour on demand: what the control API asked for and how much of it is left."""

from dataclasses import dataclass

from .world import Json


@dataclass
class Fault:
    """One kind of trouble for the next `count` occasions, for one app or (None) for all."""

    kind: str
    app: str | None = None
    count: int = 1
    ms: int = 0
    method: str = "*"
    error: str = ""
    retry_after: int = 1


class Faults:
    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def plant(self, wanted: Json) -> None:
        self._waiting.append(
            Fault(
                kind=str(wanted["kind"]),
                app=wanted.get("app"),
                count=int(wanted.get("count", 1)),
                ms=int(wanted.get("ms", 0)),
                method=str(wanted.get("method", "*")),
                error=str(wanted.get("error", "")),
                retry_after=int(wanted.get("retry_after", 1)),
            )
        )

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, kind: str, app: str, method: str = "*") -> Fault | None:
        """Use up one occasion of a fault that fits, or None."""
        for fault in self._waiting:
            if fault.kind == kind and fault.app in (None, app) and fault.method in ("*", method):
                fault.count -= 1
                if fault.count <= 0:
                    self._waiting.remove(fault)
                return fault
        return None
