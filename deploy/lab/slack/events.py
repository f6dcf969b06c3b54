"""Events API payloads: who gets which event, and in what shape."""

import json
import time

from .workspace import Workspace
from .world import TEAM_ID, App, Channel, Json

HIDDEN_FIELDS = {"channel", "metadata", "deleted", "ephemeral_for"}


def shown(message: Json, *, with_metadata: bool = False) -> Json:
    """A message as Slack's API returns it."""
    public = {key: value for key, value in message.items() if key not in HIDDEN_FIELDS}
    if with_metadata and message.get("metadata"):
        public["metadata"] = message["metadata"]
    return public


def emit(workspace: Workspace, channel: Channel, event: Json, apps: list[App]) -> None:
    """Deliver one event to each of `apps`, each with its own event id."""
    if not apps:
        return
    body = json.dumps(event)
    author = event.get("user") or event.get("message", {}).get("user")
    person = workspace.world.people.get(author) if isinstance(author, str) else None
    external = person is not None and person.team_id != TEAM_ID
    label = event["type"] + (f".{event['subtype']}" if event.get("subtype") else "")
    for app in apps:
        event_id = workspace.stamps.new_id("Ev")
        payload = _wrap(app, body, event_id, shared=channel.is_ext_shared or external)
        workspace.hub.deliver_event(app, event_id, label, payload)


def _wrap(app: App, event: str, event_id: str, *, shared: bool) -> str:
    """The outer payload around an event that is already JSON: encoded once, sent to many."""
    return (
        f'{{"token":"lab","team_id":"{TEAM_ID}","context_team_id":"{TEAM_ID}","context_enterprise_id":null,'
        f'"api_app_id":"{app.app_id}","event":{event},"type":"event_callback","event_id":"{event_id}",'
        f'"event_time":{int(time.time())},"authorizations":[{{"enterprise_id":null,"team_id":"{TEAM_ID}",'
        f'"user_id":"{app.user_id}","is_bot":true,"is_enterprise_install":false}}],'
        f'"is_ext_shared_channel":{"true" if shared else "false"},"event_context":"4-lab-{event_id}"}}'
    )


def message_event(channel: Channel, message: Json) -> Json:
    return {
        **shown(message),
        "type": "message",
        "channel": channel.id,
        "event_ts": message["ts"],
        "channel_type": "im" if channel.is_im else "channel",
    }
