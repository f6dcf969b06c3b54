"""The static allow list for playbooks (rule 16): what would run where, found without running anything. Pure.

`wrong` findings are refused with the mend: they act on the machine that runs the program. `unknown` findings cannot be
followed: people are asked, and nothing runs before (a syntax check executes look-ups). Everything else is understood,
task by task, and has a class.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import yaml

from bot.domain.calls import CallClass, highest
from tools.ansible_jinja import is_template, plain_path, problems
from tools.ansible_policy import PlaybookPolicy, short
from tools.ansible_tasks import FOLLOWED, HERE, TASK_WORDS, Step, judge
from tools.ansible_yaml import LINE, items, load_plain
from tools.commands import Classify

LOADED_BY_ITSELF: Final = re.compile(
    r"(^|/)(library|module_utils|collections|plugins|[a-z]+_plugins)(/|$)|(^|/)ansible\.cfg$|(^|/)inventor(y|ies)(/|$)"
)
BARE: Final = frozenset({"when", "until", "changed_when", "failed_when", "that", "assert_that", "var"})
PLAY_WORDS: Final = frozenset(
    {
        *(
            "name",
            "hosts",
            "become",
            "become_user",
            "gather_facts",
            "gather_subset",
            "gather_timeout",
            "vars",
            "vars_files",
        ),
        *("roles", "tasks", "pre_tasks", "post_tasks", "handlers", "tags", "serial", "order", "any_errors_fatal"),
        *("max_fail_percentage", "environment", "no_log", "ignore_errors", "ignore_unreachable", "force_handlers"),
        *("throttle", "timeout", "diff", "run_once", "strategy", "check_mode"),
    }
)
RESERVED: Final = re.compile(
    r"^ansible_(connection|host|port|user|password|ssh|become|python|shell|remote|paramiko|interpreter|ask)"
)
MOST_NODES: Final = 50_000
ROLE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Found:
    severity: Literal["wrong", "unknown"]
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True, slots=True)
class Code:
    """The project's files, `vetted`: paths that are blueprints as they were copied in. `hosts`: names of the inventory."""

    contents: Mapping[str, bytes]
    vetted: frozenset[str]
    policy: PlaybookPolicy
    classify: Classify
    hosts: frozenset[str]


@dataclass
class Scan:
    """What was understood. `specs`: role → its argument_specs as written, `declared`: variables the code itself names, with the
    values that it gives them.
    """

    found: list[Found] = field(default_factory=list[Found])
    steps: list[Step] = field(default_factory=list[Step])
    files: dict[str, None] = field(default_factory=dict[str, None])
    roles: dict[str, Any] = field(default_factory=dict[str, Any])
    declared: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])

    @property
    def wrong(self) -> list[Found]:
        return [f for f in self.found if f.severity == "wrong"]

    @property
    def unknown(self) -> list[Found]:
        return [f for f in self.found if f.severity == "unknown"]

    @property
    def cls(self) -> CallClass:
        unknown = (CallClass.UNKNOWN,) if self.unknown else ()
        return highest(CallClass.CHANGE, *unknown, *(step.cls for step in self.steps))

    @property
    def no_dry_run(self) -> str:
        """Why `--check` may not run: people have to look first, or it would change something all the same."""
        if self.wrong or self.unknown:
            return f"what was not understood would run too ({(self.wrong or self.unknown)[0]})"
        forced = [step for step in self.steps if step.unchecked and step.cls is not CallClass.READ]
        return f"{forced[0].where} sets check_mode: false and would change something" if forced else ""


def scan(code: Code, playbook: str) -> Scan:
    """Follow the playbook through everything it names."""
    walk = _Walk(code)
    for path in sorted(code.contents):
        if LOADED_BY_ITSELF.search(path):
            walk.wrong(
                path,
                "would be loaded by itself on the machine that runs playbooks; delete it (the inventory and the settings are the estate's)",
            )
    for path in sorted(code.contents):
        if re.search(r"(^|/)(group_vars|host_vars)/", path):
            walk.variables(path)
    walk.playbook(playbook)
    for path, content in sorted(code.contents.items()):
        walk.as_template(path, content.decode(errors="replace"))
    return walk.scan


class _Walk:
    def __init__(self, code: Code) -> None:
        self.code = code
        self.scan = Scan()
        self.base = ""
        self.nodes = 0
        self.followed: set[str] = set()

    def wrong(self, where: str, text: str) -> None:
        self._add(Found("wrong", where, text))

    def unknown(self, where: str, text: str) -> None:
        self._add(Found("unknown", where, text))

    def _add(self, found: Found) -> None:
        if found not in self.scan.found:
            self.scan.found.append(found)

    # files -----------------------------------------------------------------------------------------------------------

    def load(self, path: str) -> Any:
        """A YAML file's content with line numbers, None where there is none. Each file once."""
        if path in self.scan.files or path not in self.code.contents:
            return None
        self.scan.files[path] = None
        try:
            loaded = load_plain(self.code.contents[path].decode())
        except UnicodeDecodeError:
            self.wrong(path, "is no UTF-8 text")
            return None
        except yaml.YAMLError as error:
            self.wrong(path, f"is no plain YAML: {' '.join(str(error).split())[:200]}")
            return None
        self.strings(loaded, path, "")
        return loaded

    def strings(self, value: Any, where: str, key: str) -> None:
        """Every text of a file, looked at as the template that it is."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            self.unknown(where, "is larger than what is followed")
            return
        if isinstance(value, dict):
            node = cast("dict[Any, Any]", value)
            line = f"{where.partition(':')[0]}:{node[LINE]}" if LINE in node else where
            for name, inner in node.items():
                if name != LINE:
                    self.strings(str(name), line, "")
                    self.strings(inner, line, str(name))
                    if RESERVED.match(str(name)):
                        self.wrong(line, f"sets {name}: how hosts are reached is the inventory's word")
        elif isinstance(value, list):
            for inner in cast("list[Any]", value):
                self.strings(inner, where, key)
        elif isinstance(value, str):
            if key in {"loop_var", "index_var", "register"} and RESERVED.match(value):
                self.wrong(where, f"sets {value}: how hosts are reached is the inventory's word")
            for problem in problems(value, self.code.policy, bare=key in BARE):
                self.wrong(where, problem)

    def as_template(self, path: str, text: str) -> None:
        """Any file may be named by a template task, comments and all, whatever it looks like."""
        if is_template(text) and not any(found.where.startswith(f"{path}:") for found in self.scan.found):
            for problem in problems(text, self.code.policy):
                self.wrong(path, f"as a template it {problem}")

    def variables(self, path: str) -> None:
        content = self.load(path)
        self._names(content)
        if content is not None and not isinstance(content, dict):
            self.unknown(path, "is no mapping of variables")

    # plays -----------------------------------------------------------------------------------------------------------

    def playbook(self, path: str) -> None:
        plays = self.load(path)
        if plays is None and path not in self.scan.files:
            self.wrong(path, "there is no such file")
        if plays is not None and not isinstance(plays, list):
            self.wrong(path, "a playbook is a list of plays")
        self.base = posixpath.dirname(path)
        for play in cast("list[Any]", plays) if isinstance(plays, list) else []:
            if isinstance(play, dict):
                self.play(path, cast("dict[Any, Any]", play))
            else:
                self.wrong(path, "a play is a mapping")

    def play(self, path: str, play: dict[Any, Any]) -> None:
        where = f"{path}:{play.get(LINE, 1)}"
        imported = next((k for k in play if short(str(k)) == "import_playbook"), None)
        if imported is not None:
            target = self._plain(where, play[imported])
            base, self.base = self.base, ""
            if target:
                self.playbook(posixpath.normpath(posixpath.join(posixpath.dirname(path), target)))
            self.base = base
            return
        for word in play:
            if word != LINE and word not in PLAY_WORDS:
                self.wrong(
                    where, f"a play may not say {word!r} here (it says how or where to connect, or is not known)"
                )
        self._hosts(where, play.get("hosts"))
        if str(play.get("strategy", "linear")) not in {"linear", "free"}:
            self.wrong(where, "strategy is linear or free")
        self._names(play.get("vars"))
        self._environment(where, play)
        for one in items(play.get("vars_files")):
            if target := self._plain(where, one):
                self.variables(self._nearest(path, target) or target)
        for word in ("pre_tasks", "tasks", "post_tasks", "handlers"):
            self.tasks(path, play.get(word))
        for role in items(play.get("roles")):
            self._role_entry(where, role)

    def _environment(self, where: str, node: dict[Any, Any]) -> None:
        if node.get("environment"):
            self.unknown(where, "an environment for many tasks changes what their commands are; set it at the task")

    def _hosts(self, where: str, hosts: Any) -> None:
        names = re.split(r"[,:&!]+", " ".join(map(str, items(hosts))).replace(" ", ","))
        if not hosts:
            self.wrong(where, "a play names its hosts")
        elif is_template(str(hosts)):
            self.unknown(where, "hosts is known only when it runs; name hosts or groups, and use limit")
        elif HERE & {name.strip() for name in names}:
            self.wrong(where, "nothing runs on the machine that runs the program; name hosts of the inventory")

    def _role_entry(self, where: str, role: Any) -> None:
        if isinstance(role, dict):
            entry = cast("dict[Any, Any]", role)
            name = entry.get("role", entry.get("name"))
            for word in entry:
                if word in {"delegate_to", "connection", "remote_user", "port"}:
                    self.wrong(where, f"a role may not say {word!r} here")
            self._names(entry.get("vars"))
            self._names({k: v for k, v in entry.items() if k not in TASK_WORDS and k not in {LINE, "role", "name"}})
        else:
            name = role
        self.role(where, name)

    def role(self, where: str, name: Any, tasks_from: Any = None) -> None:
        if not isinstance(name, str) or not ROLE_NAME.fullmatch(name):
            self.unknown(where, f"the role {name!r} cannot be followed: name one of roles/ or blueprints/roles/")
            return
        for parent in (posixpath.join(self.base, "roles"), "roles", "blueprints/roles"):
            folder = posixpath.normpath(posixpath.join(parent, name))
            if any(path.startswith(f"{folder}/") for path in self.code.contents):
                break
        else:
            self.wrong(where, f"there is no role {name!r} in roles/ or blueprints/roles/")
            return
        if folder in self.followed:
            return
        self.followed.add(folder)
        self.scan.roles.setdefault(name, None)
        del tasks_from  # every task file of the role is looked at, whichever is begun with
        self._role_files(where, name, folder)

    def _role_files(self, where: str, name: str, folder: str) -> None:
        for path in sorted(p for p in self.code.contents if p.startswith(f"{folder}/")):
            part = path.removeprefix(f"{folder}/").partition("/")[0]
            if not path.endswith((".yml", ".yaml", ".json")):
                if part in {"tasks", "handlers", "meta", "vars", "defaults"}:
                    self.unknown(path, "is not followed: YAML files end in .yml")
                continue
            if part in {"tasks", "handlers"}:
                self.tasks(path, self.load(path))
            elif part in {"defaults", "vars"}:
                self.variables(path)
            elif path in {f"{folder}/meta/argument_specs.yml", f"{folder}/meta/argument_specs.yaml"}:
                self.scan.roles[name] = self.load(path)
            elif path in {f"{folder}/meta/main.yml", f"{folder}/meta/main.yaml"}:
                meta = self.load(path)
                for needed in items(
                    cast("dict[str, Any]", meta).get("dependencies") if isinstance(meta, dict) else None
                ):
                    self._role_entry(where, needed)

    def _names(self, variables: Any) -> None:
        for name, value in cast("dict[Any, Any]", variables).items() if isinstance(variables, dict) else ():
            if name != LINE:
                self.scan.declared.setdefault(str(name), []).append(value)

    # tasks -----------------------------------------------------------------------------------------------------------

    def tasks(self, path: str, tasks: Any) -> None:
        if tasks is not None and not isinstance(tasks, list):
            self.wrong(path, "tasks are a list")
            return
        for task in cast("list[Any]", tasks or []):
            if not isinstance(task, dict):
                self.wrong(path, "a task is a mapping")
                continue
            node = cast("dict[Any, Any]", task)
            self._names(node.get("vars"))
            if "block" in node:
                self._environment(f"{path}:{node.get(LINE, 1)}", node)
                for word in ("block", "rescue", "always"):
                    self.tasks(path, node.get(word))
            self._task(path, node)

    def _task(self, path: str, task: dict[Any, Any]) -> None:
        where = f"{path}:{task.get(LINE, 1)}"
        judged = judge(
            task, where, self.code.policy, self.code.classify, self.code.hosts, vetted=path in self.code.vetted
        )
        for severity, text in judged.problems:
            self._add(Found(severity, where, text))
        if judged.step is None:
            return
        if judged.step.cls is CallClass.FORBIDDEN:
            self.wrong(where, f"is forbidden: {judged.step.why}")
        module = short(judged.step.module)
        if module in FOLLOWED:
            self._follow(path, where, module, judged.arguments)
        else:
            self.scan.steps.append(judged.step)
            if module == "set_fact":
                self._names(judged.arguments)

    def _follow(self, path: str, where: str, module: str, arguments: Mapping[str, Any]) -> None:
        if module.endswith("_role"):
            self.role(where, arguments.get("name"), arguments.get("tasks_from"))
            return
        target = self._plain(where, arguments.get("file", arguments.get("_raw_params")))
        found = self._nearest(path, target) if target else ""
        if not target:
            return
        if not found:
            self.wrong(where, f"there is no file {target!r} to include")
        elif module == "include_vars":
            self.variables(found)
        else:
            self.tasks(found, self.load(found))

    def _plain(self, where: str, path: Any) -> str:
        """A path that can be followed, or "" with the finding."""
        if isinstance(path, str) and plain_path(path):
            return path
        text = "an include whose file is known only when it runs cannot be followed" if is_template(str(path)) else (
            f"{path!r} is no plain path among the playbook's own files"
        )  # fmt: skip
        self.unknown(where, text)
        return ""

    def _nearest(self, path: str, target: str) -> str:
        """Where Ansible would find it: beside the file, in the role's folder for it, beside the playbook."""
        here = posixpath.dirname(path)
        for folder in (
            here,
            posixpath.join(posixpath.dirname(here), "tasks"),
            posixpath.join(posixpath.dirname(here), "vars"),
            self.base,
        ):
            candidate = posixpath.normpath(posixpath.join(folder, target))
            if candidate in self.code.contents:
                return candidate
        return ""
