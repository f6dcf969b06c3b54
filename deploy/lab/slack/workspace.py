"""Everything the running workspace holds; the methods, the control API and the sockets share one."""

from dataclasses import dataclass, field
from pathlib import Path

from .faults import Faults
from .ledger import Ledger
from .limits import Buckets
from .sockets import SocketHub
from .stream import Stream
from .world import Json, Stamps, World, installed_commands

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """How the lab behaves. The scales multiply Slack's own times and rates; a rate scale of 0 means no limits."""

    solo: bool = False
    ack_seconds: float = 3.0
    retry_scale: float = 1.0
    trigger_seconds: float = 3.0
    rate_scale: float = 1.0
    page: Path = HERE / "page"


@dataclass
class Trigger:
    """A trigger id: good for one modal of one person for a few seconds."""

    app_key: str
    user_id: str
    expires: float
    used: bool = False
    view_id: str = ""


@dataclass
class ResponseUrl:
    """Where an app may answer an interaction: five times in thirty minutes."""

    app_key: str
    user_id: str
    channel_id: str
    expires: float
    uses_left: int = 5
    message_ts: str = ""
    is_ephemeral: bool = False


@dataclass
class StoredFile:
    id: str
    name: str
    app_key: str
    length: int
    content: bytes = b""
    uploaded: bool = False
    shown: Json = field(default_factory=dict)


class Workspace:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.url = ""
        self.world = World(solo=options.solo)
        self.stamps = Stamps()
        self.stream = Stream()
        self.faults = Faults()
        self.ledger = Ledger()
        self.buckets = Buckets(options.rate_scale)
        self.hub = SocketHub(self.faults, ack_seconds=options.ack_seconds, retry_scale=options.retry_scale)
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.views: dict[str, Json] = {}
        self.view_stacks: dict[str, list[str]] = {}
        self.homes: dict[tuple[str, str], Json] = {}
        self.files: dict[str, StoredFile] = {}
        self.ephemerals: dict[str, list[Json]] = {}
        self.revisions: dict[str, list[Json]] = {}
        self.choices: dict[tuple[str, str], Json] = {}
        self.suggestions: list[Json] = []
        self.commands = installed_commands()

    def ready_facts(self) -> Json:
        """What the clients of this server need to know; contains the tokens."""
        apps = {
            app.key: {
                "app_id": app.app_id,
                "bot_id": app.bot_id,
                "user_id": app.user_id,
                "bot_token": app.bot_token,
                "app_token": app.app_token,
            }
            for app in self.world.apps.values()
        }
        people = {person.name: {"id": person.id} for person in self.world.people.values()}
        return {"url": self.url, "team": "T0LAB00001", "channel": "C0LAB00001", "apps": apps, "people": people}

    def find_ephemeral(self, user_id: str, ts: str) -> Json | None:
        return next((m for m in self.ephemerals.get(user_id, []) if m["ts"] == ts), None)
