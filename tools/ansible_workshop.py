"""What the Ansible tools share: where code and snapshots are, what a check found, and how it is found again."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from bot.domain.calls import Prepared
from bot.domain.digest import canonical
from bot.domain.ids import Json
from bot.domain.ports import Scope
from bot.domain.storage import Locks
from tools.ansible_bench import CODE, Bench, Kit, Play
from tools.ansible_policy import PlaybookPolicy
from tools.ansible_scan import Code, Scan, scan
from tools.commands import Classify
from tools.estate import Estates
from tools.folder import Folder
from tools.hosts import Host, Roster, inventory
from tools.site_vars import NO_SITE_FILE, SiteFile
from tools.snapshot import Kept, Manifest, Snapshots

ABOUT: Final = "about/"  # in a snapshot: what is only read by us
KIND: Final = "playbook"
FILE_BYTES: Final = 1_000_000
TREE_BYTES: Final = 8_000_000
ID_DIGITS: Final = 12


class UnknownCheckError(ValueError):
    """No such check here. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a playbook is run with, typed, as it is bound."""

    play: Play
    extra: Mapping[str, Json]

    def as_json(self) -> dict[str, Json]:
        play = self.play
        return {
            "playbook": play.playbook,
            "limit": list(play.limit),
            "tags": list(play.tags),
            "skip_tags": list(play.skip_tags),
            "extra_vars": dict(self.extra),
        }

    @classmethod
    def of(cls, text: str) -> "Asked":
        plain: Any = json.loads(text)
        words = {name: tuple(plain[name]) for name in ("limit", "tags", "skip_tags")}
        return cls(Play(plain["playbook"], **words), plain["extra_vars"])

    @property
    def words(self) -> str:
        """`site.yml · limit cp1 · tags base · 2 extra vars`."""
        play = self.play
        parts = [play.playbook]
        for name, values in (("limit", play.limit), ("tags", play.tags), ("without tags", play.skip_tags)):
            parts += [f"{name} {', '.join(values)}"] if values else []
        parts += [f"{name}={json.dumps(value)}" for name, value in self.extra.items()]
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class PlaybookWorkshop:
    """The parts that checking and running a playbook need."""

    estates: Estates
    kit: Kit
    policy: PlaybookPolicy
    classify: Classify
    roster_of: Callable[[str], Roster]
    locks: Locks
    site: SiteFile = NO_SITE_FILE

    def snapshots(self, estate: str) -> Snapshots:
        return Snapshots(self.estates.named(estate).snapshots)

    def bench(self, estate: str, name: str) -> Bench:
        return Bench(self.estates.named(estate).runs / name, self.kit)

    async def copy(self, scope: Scope) -> Mapping[str, bytes]:
        """The mission's code as it is now. Raises RefusedPathError (a link in the tree), GitError."""
        tree = await self.estates.named(scope.mission.estate).open(str(scope.mission.id))
        return await asyncio.to_thread(Folder(tree).contents, FILE_BYTES, TREE_BYTES)

    async def roster(self, estate: str) -> dict[str, Host]:
        """Every host with a pinned key, machines of applied plans that waited for it included. Raises HostsFileError."""
        roster = self.roster_of(estate)
        if roster.awaited():
            await asyncio.to_thread(roster.fill)
        return roster.hosts()

    def scan(self, contents: Mapping[str, bytes], playbook: str, scope: Scope, hosts: Collection[str]) -> Scan:
        hashes = self.estates.named(scope.mission.estate).vetted_hashes(str(scope.mission.id))
        vetted = frozenset(p for p, c in contents.items() if hashes.get(p) == hashlib.sha256(c).hexdigest())
        return scan(Code(contents, vetted, self.policy, self.classify, frozenset(hosts)), playbook)

    def keep_code(self, store: Snapshots, contents: Mapping[str, bytes]) -> dict[str, Kept]:
        return {f"{CODE}{path}": store.keep(content) for path, content in contents.items()}

    def find(self, scope: Scope, check: str) -> tuple[str, Manifest]:
        """A check of this mission by its id or a prefix of it. Raises UnknownCheckError, ChangedError."""
        store = self.snapshots(scope.mission.estate)
        mine: list[tuple[str, Manifest]] = []
        for revision in store.find(check.strip().lower()):
            manifest = store.load(revision)
            if manifest.facts["kind"] == KIND and manifest.facts["mission"] == str(scope.mission.id):
                mine.append((revision, manifest))
        if len(mine) != 1:
            what = "is no checked playbook of this mission" if not mine else "fits several: give more digits"
            raise UnknownCheckError(f"{check!r} {what}; ansible_check makes one and says its id")
        return mine[0]

    def contents(self, store: Snapshots, manifest: Manifest) -> dict[str, bytes]:
        """The code of a check, every byte compared. Raises ChangedError."""
        return {p.removeprefix(CODE): store.take(manifest, p) for p in manifest.files if p.startswith(CODE)}

    def pins(self, estate: str, manifest: Manifest) -> dict[str, str]:
        """What must be the same at execution as it was for the check (rule 11). Raises ChangedError, HostsFileError."""
        self.snapshots(estate).verify(manifest)
        hosts = self.roster_of(estate).hosts()
        names = texts(manifest.facts["hosts"])
        found = {f"host.{name}": "not in the inventory" for name in names if name not in hosts}
        for name in names:
            found |= hosts[name].pins if name in hosts else {}
        return {
            **found,
            "inventory.sha256": hashlib.sha256(canonical(inventory(list(hosts.values())))).hexdigest(),
            "site_variables.sha256": self.site.read().digest,
            "ansible": self.kit.version,
            "snapshot": manifest.revision,
        }


def narrowed(hosts: Mapping[str, Host], limit: Sequence[str]) -> tuple[str, ...]:
    """The hosts that names and groups of `limit` mean; every host for none. Raises ValueError with the unknown names."""
    groups = {group for host in hosts.values() for group in host.groups}
    unknown = [name for name in limit if name not in hosts and name not in groups and name != "all"]
    if unknown:
        known = ", ".join([*sorted(hosts), *sorted(groups)]) or "none"
        raise ValueError(f"limit names {', '.join(unknown)}, which is no host or group of the inventory ({known})")
    wanted = {*limit} or {"all"}
    return tuple(n for n, host in sorted(hosts.items()) if n in wanted or wanted & {*host.groups, "all"})


def run_name(prepared: Prepared) -> str:
    """The name of a call's folder below `runs/`: one call, one folder, so nothing starts twice."""
    call = "".join(c if c.isalnum() else "-" for c in str(prepared.call.id))[:60]
    return f"ansible-{prepared.call.mission}-{prepared.snapshot[:8]}-{call}"


def texts(stored: str) -> list[str]:
    return [str(item) for item in cast("list[Any]", json.loads(stored))]
