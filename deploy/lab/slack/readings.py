"""What the control API tells: state, threads, views, and what the lab has recorded and counted."""

from collections.abc import Callable

from .wire import SlackError
from .workspace import Workspace
from .world import TEAM_DOMAIN, TEAM_ID, TEAM_NAME, Channel, Json

MOST_SHOWN = 2_000


def channel_of(workspace: Workspace, body: Json) -> Channel:
    channel = workspace.world.find_channel(str(body.get("channel", "")))
    if channel is None:
        raise SlackError("channel_not_found")
    return channel


def person_of(workspace: Workspace, body: Json) -> str:
    user_id = str(body.get("as", ""))
    if user_id not in workspace.world.people:
        raise SlackError("user_not_found")
    return user_id


def _state(workspace: Workspace, query: Json) -> Json:
    world = workspace.world
    channel = channel_of(workspace, {"channel": query.get("channel", "C0LAB00001")})
    people = [{"id": p.id, "name": p.name, "title": p.title, "color": p.color} for p in world.people.values()]
    guests = {p.id for p in world.people.values() if p.deleted or p.team_id != TEAM_ID}
    return {
        "team": {"id": TEAM_ID, "name": TEAM_NAME, "domain": TEAM_DOMAIN},
        "me_choices": [person for person in people if person["id"] not in guests],
        "people": people,
        "bots": [
            {"user_id": a.user_id, "bot_id": a.bot_id, "app_id": a.app_id, "name": a.name, "key": a.key, "icon": a.icon}
            | {"connections": workspace.hub.connected(a)}
            for a in world.apps.values()
        ],
        "channels": [{"id": c.id, "name": c.name, "topic": c.topic} for c in world.channels.values() if c.listed],
        "commands": [
            {"command": c.command, "description": c.description, "usage_hint": c.usage_hint} for c in workspace.commands
        ],
        "suggestions": workspace.suggestions,
        "messages": list(channel.messages.values())[-int(query.get("limit", MOST_SHOWN)) :],
    }


def _thread(workspace: Workspace, query: Json) -> Json:
    channel = channel_of(workspace, query)
    message = channel.messages.get(str(query.get("ts", "")))
    if message is None:
        raise SlackError("thread_not_found")
    root = message.get("thread_ts") or message["ts"]
    stamps = [root, *channel.threads.get(root, [])]
    return {"ok": True, "messages": [channel.messages[ts] for ts in stamps if ts in channel.messages]}


def _ephemerals(workspace: Workspace, query: Json) -> Json:
    return {"ok": True, "messages": workspace.ephemerals.get(person_of(workspace, query), [])}


def _views(workspace: Workspace, query: Json) -> Json:
    stack = workspace.view_stacks.get(person_of(workspace, query), [])
    return {"ok": True, "views": [workspace.views[one] for one in stack if one in workspace.views]}


def _home(workspace: Workspace, query: Json) -> Json:
    return {"ok": True, "view": workspace.homes.get((query.get("app", "watchbill"), person_of(workspace, query)))}


def _record(workspace: Workspace, query: Json) -> Json:
    start = int(query.get("since", 0))
    return {
        "calls": workspace.ledger.calls[start:],
        "unacked": workspace.hub.unacked,
        "deliveries": list(workspace.hub.records),
    }


def _report(workspace: Workspace, _query: Json) -> Json:
    hub = workspace.hub
    return workspace.ledger.report() | {"redelivered": hub.redelivered, "unacked": len(hub.unacked)}


def _acks(workspace: Workspace, query: Json) -> Json:
    """How long apps took to ack, in milliseconds; `app` and `after` (unix seconds) narrow it down."""
    after = float(query.get("after", 0))
    records = [r for r in workspace.hub.records if r["sent_at"] >= after and query.get("app") in (None, r["app"])]
    times = sorted(1000 * (r["acked_at"] - r["sent_at"]) for r in records if r["acked_at"] is not None)
    answer: Json = {"ok": True, "sent": len(records), "acked": len(times), "waiting": workspace.hub.count_unsettled()}
    for name, part in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("max_ms", 1.0)):
        answer[name] = round(times[min(len(times) - 1, int(len(times) * part))], 3) if times else None
    return answer


READS: dict[str, Callable[[Workspace, Json], Json]] = {
    "state": _state,
    "thread": _thread,
    "ephemerals": _ephemerals,
    "views": _views,
    "home": _home,
    "record": _record,
    "report": _report,
    "acks": _acks,
}
