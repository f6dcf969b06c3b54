"""What stands after a change, from the facts of its result. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from bot.domain.calls import ToolResult
from bot.domain.ids import Json, texts
from bot.domain.state import Built, Mission, Root


def built(state: Mission, result: ToolResult) -> Mission:
    """The state after a result that changed something, or may have: counts, and what exists now at each root."""
    roots = dict(state.roots)
    if "exists" in result.facts:
        roots[f"{result.tool} {result.facts.get('root', '')}"] = _root(result.facts)
    facts = (result.facts.get(name) for name in ("created", "changed", "destroyed"))
    counts = [fact if isinstance(fact, int) else 0 for fact in facts]
    return replace(
        state,
        last_change=state.ordinal,
        progress=state.progress + 1,
        created=state.created + counts[0],
        changed=state.changed + counts[1],
        destroyed=state.destroyed + counts[2],
        roots=roots,
        applied=tuple(dict.fromkeys(text for root in roots.values() for text in root.exists)),
    )


def _root(facts: Mapping[str, Json]) -> Root:
    listed = facts.get("machines")
    rows = [row for row in listed if isinstance(row, Mapping)] if isinstance(listed, list | tuple) else []
    machines = (
        Built(
            str(row.get("name", "")),
            str(row.get("node", "")),
            vmid if isinstance(vmid := row.get("vmid"), int) else 0,
            str(row.get("address", "")),
        )
        for row in rows
    )
    return Root(texts(facts.get("exists")), tuple(machines))
