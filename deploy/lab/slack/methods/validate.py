"""blocks.validate: the checks of Block Kit without a message."""

from deploy.lab.slack.blocks import find_problems, find_view_problems
from deploy.lab.slack.shapes import Problem
from deploy.lab.slack.wire import Arguments, SlackError, invalid_arguments
from deploy.lab.slack.workspace import Workspace
from deploy.lab.slack.world import App, Json


def validate(_workspace: Workspace, _app: App, args: Arguments) -> Json:
    given = [name for name in ("blocks", "message", "view") if name in args]
    if len(given) != 1:
        raise invalid_arguments("provide exactly one of blocks, view, or message")
    kind = given[0]
    value = args.structure(kind, list if kind == "blocks" else dict, "invalid_arguments")
    problems: list[Problem]
    if kind == "blocks":
        problems = find_problems(value, "message", "")
    elif kind == "message":
        problems = find_problems(value.get("blocks") or [], "message", "/blocks")
    else:
        problems = find_view_problems(value, "")
    if problems:
        errors = [{"pointer": p.pointer, "code": p.code, "message": p.message} for p in problems]
        raise SlackError(f"invalid_{kind}", errors=errors)
    return {}


METHODS = {"blocks.validate": validate}
