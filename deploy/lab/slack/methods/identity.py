"""auth.test, api.test, bots.info, team.info and apps.connections.open: who one is and where one is."""

from deploy.lab.slack.wire import Arguments, SlackError
from deploy.lab.slack.workspace import Workspace
from deploy.lab.slack.world import TEAM_DOMAIN, TEAM_ID, TEAM_NAME, App, Json


def auth_test(workspace: Workspace, app: App, _args: Arguments) -> Json:
    return {
        "url": f"{workspace.url}/",
        "team": TEAM_NAME,
        "user": app.name.lower(),
        "team_id": TEAM_ID,
        "user_id": app.user_id,
        "bot_id": app.bot_id,
        "is_enterprise_install": False,
    }


def api_test(_workspace: Workspace, _app: App, args: Arguments) -> Json:
    if "error" in args:
        raise SlackError(args.text("error"), args=args.values)
    return {"args": args.values}


def bots_info(workspace: Workspace, app: App, args: Arguments) -> Json:
    bot_id = args.text("bot") or app.bot_id
    found = next((one for one in workspace.world.apps.values() if one.bot_id == bot_id), None)
    if found is None:
        raise SlackError("bot_not_found")
    bot = {"id": bot_id, "deleted": False, "name": found.name, "updated": 0, "app_id": found.app_id}
    return {"bot": {**bot, "user_id": found.user_id, "icons": {}}}


def team_info(_workspace: Workspace, _app: App, _args: Arguments) -> Json:
    return {"team": {"id": TEAM_ID, "name": TEAM_NAME, "domain": TEAM_DOMAIN, "email_domain": "", "icon": {}}}


def connections_open(workspace: Workspace, app: App, _args: Arguments) -> Json:
    ticket = workspace.hub.open_ticket(app)
    return {"url": f"{workspace.url.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={app.app_id}"}


METHODS = {
    "auth.test": auth_test,
    "api.test": api_test,
    "bots.info": bots_info,
    "team.info": team_info,
    "apps.connections.open": connections_open,
}
