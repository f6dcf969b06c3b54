"""files.*: the three steps of an upload (URL, bytes, completion) and what follows."""

import mimetypes
import time

from aiohttp import web

from deploy.lab.slack.messages import message_of_app, post
from deploy.lab.slack.wire import Arguments, SlackError, invalid_arguments
from deploy.lab.slack.workspace import StoredFile, Workspace
from deploy.lab.slack.world import TEAM_ID, App, Json

from .chat import member_channel, take_blocks, thread_root


def get_upload_url(workspace: Workspace, app: App, args: Arguments) -> Json:
    name = args.need("filename")
    length = args.number("length", 0)
    if length <= 0:
        raise invalid_arguments("length must be greater than 0")
    stored = StoredFile(workspace.stamps.new_id("F"), name, app.key, length)
    workspace.files[stored.id] = stored
    return {"upload_url": f"{workspace.url}/upload/v1/{stored.id}", "file_id": stored.id}


async def receive_upload(workspace: Workspace, request: web.Request) -> web.Response:
    """The second step: the bytes, raw or as a form."""
    stored = workspace.files.get(request.match_info["file_id"])
    if stored is None or stored.uploaded:
        return web.Response(status=404, text="not found")
    if request.content_type == "multipart/form-data":
        form = await request.post()
        first = next(iter(form.values()), b"")
        content = first.file.read() if isinstance(first, web.FileField) else str(first).encode()
    else:
        content = await request.read()
    stored.content, stored.uploaded = content, True
    app = workspace.world.apps[stored.app_key]
    workspace.ledger.note_bytes(app, "files.upload", stored.name, content)
    return web.Response(text=f"OK - {len(content)}")


def complete_upload(workspace: Workspace, app: App, args: Arguments) -> Json:
    wanted = args.structure("files", list, "invalid_arguments")
    if not wanted:
        raise invalid_arguments("missing required field: files")
    stored = [_own_file(workspace, app, one) for one in wanted]
    for one, entry in zip(stored, wanted, strict=True):
        one.shown = _describe(workspace, app, one, str(entry.get("title") or one.name))
    references = [args.text("channel_id"), *args.text("channels").split(",")]
    for reference in dict.fromkeys(one for one in references if one):
        channel = member_channel(workspace, app, reference)
        root = thread_root(channel, args)
        message = message_of_app(app, args.text("initial_comment"))
        blocks = take_blocks(args)
        message |= {"files": [one.shown for one in stored], "subtype": "file_share"} | (
            {"blocks": blocks} if blocks else {}
        )
        post(workspace, channel, message, root)
        share = {"ts": message["ts"], "channel_name": channel.name} | ({"thread_ts": root} if root else {})
        for one in stored:
            one.shown["shares"].setdefault("public", {}).setdefault(channel.id, []).append(share)
            one.shown["channels"].append(channel.id)
    return {"files": [one.shown for one in stored]}


def _own_file(workspace: Workspace, app: App, entry: object) -> StoredFile:
    stored = workspace.files.get(str(entry.get("id"))) if isinstance(entry, dict) else None
    if stored is None or stored.app_key != app.key:
        raise SlackError("file_not_found")
    if not stored.uploaded:
        raise SlackError("file_update_failed")
    return stored


def _describe(workspace: Workspace, app: App, stored: StoredFile, title: str) -> Json:
    mimetype = mimetypes.guess_type(stored.name)[0] or "text/plain"
    kind = stored.name.rpartition(".")[2].lower() if "." in stored.name else "text"
    link = f"{workspace.url}/files-pri/{TEAM_ID}-{stored.id}/{stored.name}"
    return {
        "id": stored.id,
        "created": int(time.time()),
        "timestamp": int(time.time()),
        "name": stored.name,
        "title": title,
        "mimetype": mimetype,
        "filetype": kind,
        "pretty_type": kind.upper(),
        "user": app.user_id,
        "size": len(stored.content),
        "mode": "hosted",
        "is_external": False,
        "is_public": True,
        "url_private": link,
        "url_private_download": link,
        "permalink": f"{workspace.url}/lab/files/{stored.id}",
        "channels": [],
        "shares": {},
    }


async def download(workspace: Workspace, request: web.Request) -> web.Response:
    """A file's bytes, for apps with their token."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in workspace.world.by_bot_token:
        return web.Response(status=403, text="not allowed")
    return _bytes_of(workspace, request.match_info["reference"].rpartition("-")[2])


async def show(workspace: Workspace, request: web.Request) -> web.Response:
    """A file's bytes, for the page."""
    return _bytes_of(workspace, request.match_info["file_id"])


def _bytes_of(workspace: Workspace, file_id: str) -> web.Response:
    stored = workspace.files.get(file_id)
    if stored is None or not stored.uploaded:
        return web.Response(status=404, text="file not found")
    mimetype = mimetypes.guess_type(stored.name)[0] or "text/plain"
    safe = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    if mimetype in ("text/html", "image/svg+xml", "application/xhtml+xml"):
        mimetype = "text/plain"  # nothing that a program uploads may run in the page's origin
    return web.Response(body=stored.content, content_type=mimetype, headers=safe)


def info(workspace: Workspace, _app: App, args: Arguments) -> Json:
    stored = workspace.files.get(args.need("file"))
    if stored is None or not stored.shown:
        raise SlackError("file_not_found")
    return {"file": stored.shown}


def delete(workspace: Workspace, app: App, args: Arguments) -> Json:
    stored = workspace.files.get(args.need("file"))
    if stored is None or not stored.shown:
        raise SlackError("file_not_found")
    if stored.app_key != app.key:
        raise SlackError("cant_delete_file")
    del workspace.files[stored.id]
    return {}


METHODS = {
    "files.getUploadURLExternal": get_upload_url,
    "files.completeUploadExternal": complete_upload,
    "files.info": info,
    "files.delete": delete,
}
