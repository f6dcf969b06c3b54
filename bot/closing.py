"""What is posted when a mission ends: the report, the same in full as report.md, and a picture of what it built."""

import asyncio
from collections.abc import Callable

from bot.cards import WATCHBILL, AuditHead, Titles, no_head, report
from bot.domain.ids import ArtifactId
from bot.domain.ports import Clock
from bot.domain.posts import File, Post, Report
from bot.domain.state import Mission
from bot.domain.storage import Artifacts
from bot.report_text import machines_of, report_text
from bot.topology import Answering, draw

PROBES = {"http_probe": "url", "tcp_probe": "host", "dns_probe": "name"}  # and where each keeps what it asked


class Closing:
    """Writes a mission's last posts. `clean` takes secrets out: files go to Slack as they are kept. `audit_head` gives
    what the report holds the audit record to.
    """

    def __init__(
        self, artifacts: Artifacts, clock: Clock, titles: Titles, clean: Callable[[str], str], audit_head: AuditHead = no_head
    ) -> None:  # fmt: skip
        self._artifacts = artifacts
        self._clock = clock
        self._titles = titles
        self._clean = clean
        self._audit_head = audit_head

    async def posts(self, over: Mission) -> tuple[Post, ...]:
        """The posts of `over`, a mission whose end is known and not written yet."""
        head = await self._audit_head()
        said = report(over, self._clock.now(), code=f"branch missions/{over.id}", audit_head=head)
        assert isinstance(said.body, Report)
        text = self._clean(report_text(over, said.body, self._titles))
        whole = await self._artifacts.put(text.encode("utf-8", "replace"), name="report.md", kind="text/markdown")
        files = [self._file(over, whole, "report.md", "report in full")]
        if machines := machines_of(over):
            seen = [Answering(self._clean(one.where), self._clean(one.said)) for one in answering(over)]
            picture = await asyncio.to_thread(draw, f"Mission {over.id} · {over.ended}", machines, seen)
            drawn = await self._artifacts.put(picture, name="topology.png", kind="image/png")
            files.append(self._file(over, drawn, "topology.png", "what it built"))
        return (said, *files)

    def _file(self, over: Mission, artifact: ArtifactId, name: str, what: str) -> Post:
        return Post(f"{name}:{over.id}", over.thread, WATCHBILL, File(artifact, name, f"Mission {over.id}: {what}"))


def answering(state: Mission) -> tuple[Answering, ...]:
    """What the evidence that stands saw answering from outside."""
    found: dict[str, Answering] = {}
    for shown in state.evidence.values():
        evidence = shown.evidence
        place = evidence.arguments.get(PROBES.get(evidence.tool, ""))
        if evidence.outcome == "passed" and place:
            port = evidence.arguments.get("port")
            where = f"{place}:{port}" if port else str(place)
            found.setdefault(where, Answering(where, evidence.words))
    return tuple(found.values())
