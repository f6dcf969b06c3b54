"""assistant.threads.setStatus: "Builder plans …" under a thread, until its next message or an empty status."""

from deploy.lab.slack.wire import Arguments, SlackError
from deploy.lab.slack.workspace import Workspace
from deploy.lab.slack.world import App, Json

from .chat import member_channel


def set_status(workspace: Workspace, app: App, args: Arguments) -> Json:
    channel = member_channel(workspace, app, args.need("channel_id"))
    thread_ts = args.need("thread_ts")
    if thread_ts not in channel.messages:
        raise SlackError("thread_not_found")
    status = args.text("status")
    workspace.stream.tell("typing", channel=channel.id, thread_ts=thread_ts, user=app.user_id, status=status)
    return {}


METHODS = {"assistant.threads.setStatus": set_status}
