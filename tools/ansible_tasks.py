"""One task of a playbook: which module, with which class, and what may not stand there. Pure."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from bot.domain.calls import CallClass, highest
from tools.ansible_jinja import is_template, plain_path
from tools.ansible_policy import PlaybookPolicy, class_of, raised, short
from tools.ansible_yaml import LINE
from tools.commands import Classify

Severity = Literal["wrong", "unknown"]
FREE_WORDS: Final = frozenset(
    {
        *(
            "name",
            "when",
            "loop",
            "loop_control",
            "register",
            "vars",
            "tags",
            "become",
            "become_user",
            "notify",
            "listen",
        ),
        *(
            "changed_when",
            "failed_when",
            "ignore_errors",
            "ignore_unreachable",
            "retries",
            "delay",
            "until",
            "run_once",
        ),
        *(
            "check_mode",
            "diff",
            "no_log",
            "args",
            "block",
            "rescue",
            "always",
            "any_errors_fatal",
            "throttle",
            "timeout",
        ),
        *("async", "poll", "environment", "delegate_to", "delegate_facts"),
    }
)
CLOSED_WORDS: Final[Mapping[str, str]] = {
    "local_action": "runs on the machine that runs the program; name the module and the hosts",
    "connection": "says how to connect; that is the inventory's word",
    "remote_user": "says how to connect; use become_user",
    "port": "says how to connect; that is the inventory's word",
    "action": "hides the module; write the module's name as the task's key",
    "collections": "loads code that was not looked at; only ansible.builtin is here",
    "module_defaults": "changes arguments from elsewhere; write them in the task",
    "debugger": "waits for a terminal; there is none",
    "become_method": "is not needed: sudo is used",
    "become_flags": "is not needed: sudo is used as it is",
    "become_exe": "runs another program in sudo's place",
}
TASK_WORDS: Final = FREE_WORDS | frozenset(CLOSED_WORDS)
HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FIRST_OF_GROUP: Final = re.compile(r"\{\{\s*groups\[['\"][A-Za-z0-9_]+['\"]\]\s*(\[\d+\]|\|\s*(first|last))\s*\}\}")
FOLLOWED: Final = frozenset(
    {"import_tasks", "include_tasks", "import_role", "include_role", "import_playbook", "include_vars"}
)
SENDS_FILES: Final = frozenset({"copy", "template", "unarchive", "assemble"})
META: Final = frozenset(
    {"flush_handlers", "noop", "clear_host_errors", "end_play", "end_host", "end_batch", "end_role", "reset_connection"}
)
STANDS_FOR: Final = "PLACEHOLDER"  # a word that is no program, option or path of anything


@dataclass(frozen=True, slots=True)
class Step:
    """A task as it stands: `unchecked` where `check_mode: false` makes a dry run execute it."""

    where: str
    name: str
    module: str
    cls: CallClass
    why: str
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    step: Step | None
    arguments: dict[str, Any]
    problems: tuple[tuple[Severity, str], ...]


def judge(
    task: Mapping[Any, Any],
    where: str,
    policy: PlaybookPolicy,
    classify: Classify,
    hosts: frozenset[str],
    *,
    vetted: bool,
) -> Judged:
    """What one task is. `vetted`: it stands in a blueprint as it was copied in, whose authors answer for its commands."""
    problems: list[tuple[Severity, str]] = []
    modules: list[str] = []
    for key in map(str, task):
        if key in CLOSED_WORDS:
            problems.append(("wrong", f"{key} {CLOSED_WORDS[key]}"))
        elif key.startswith("with_"):
            problems += _with(key, task[key], policy)
        elif key not in FREE_WORDS and key != LINE:
            modules.append(key)
    problems += _delegation(task, hosts)
    if "block" in task:
        extra = [("wrong", f"a block has no module: {', '.join(modules)}")] if modules else []
        return Judged(None, {}, (*problems, *cast("list[tuple[Severity, str]]", extra)))
    if len(modules) != 1:
        text = f"a task has one module; this has {', '.join(modules) or 'none'}"
        return Judged(None, {}, (*problems, ("wrong", text)))
    module = modules[0]
    arguments, problem = _arguments(task, module, policy)
    if problem:
        problems.append(problem)
    cls, why = _class(short(module), arguments, task, policy, classify)
    if vetted and cls is CallClass.UNKNOWN:
        cls, why = CallClass.CHANGE, f"vetted blueprint; {why}"
    elif cls is CallClass.UNKNOWN and short(module) not in policy.commands:
        problems.append(("unknown", why))
    problems += _sent(short(module), arguments)
    name = str(task.get("name") or module)
    unchecked = "check_mode" in task and str(task["check_mode"]).lower() not in {"true", "yes"}
    return Judged(Step(where, name, module, cls, why, unchecked), arguments, tuple(problems))


def _with(key: str, value: Any, policy: PlaybookPolicy) -> list[tuple[Severity, str]]:
    name = short(key.removeprefix("with_"))
    if name in policy.lookups:
        return []
    if name in {"fileglob", "first_found", "file"} and all(
        isinstance(v, str) and plain_path(v.replace("*", "x")) for v in _texts(value)
    ):
        return []
    return [
        ("wrong", f"{key} looks up {name!r} on the machine that runs the program; use loop over values of the playbook")
    ]


def _delegation(task: Mapping[Any, Any], hosts: frozenset[str]) -> list[tuple[Severity, str]]:
    if "delegate_to" not in task:
        return []
    to = str(task["delegate_to"]).strip()
    if to in HERE:
        return [
            (
                "wrong",
                "delegate_to localhost runs on the machine that runs the program; delegate to a host of the inventory",
            )
        ]
    if to in hosts or FIRST_OF_GROUP.fullmatch(to):
        return []
    if is_template(to):
        return [("unknown", f"delegate_to {to} is known only when it runs")]
    return [("wrong", f"delegate_to {to}: there is no such host in the inventory")]


def _arguments(
    task: Mapping[Any, Any], module: str, policy: PlaybookPolicy
) -> tuple[dict[str, Any], tuple[Severity, str] | None]:
    """A task's arguments as one mapping; a plain text is `_raw_params`."""
    written, more = task[module], task.get("args")
    base: dict[str, Any] = dict(cast("dict[str, Any]", more)) if isinstance(more, dict) else {}
    if more is not None and not isinstance(more, dict):
        return {}, ("unknown", "args is known only when it runs")
    if isinstance(written, dict):
        made = {**base, **cast("dict[str, Any]", written)}
        made.pop(LINE, None)
        return made, None
    base.pop(LINE, None)
    if written is None:
        return base, None
    raw = str(written)
    if isinstance(written, list):
        return base, ("wrong", f"write the arguments of {module} as a mapping, not as a list")
    if short(module) in policy.commands or short(module) in FOLLOWED or short(module) == "meta":
        return {**base, "_raw_params": raw}, None
    return {**base, "_raw_params": raw}, ("wrong", f"write the arguments of {module} as a mapping, not as one text")


def _class(
    module: str, arguments: dict[str, Any], task: Mapping[Any, Any], policy: PlaybookPolicy, classify: Classify
) -> tuple[CallClass, str]:
    if module in policy.commands:
        return _command(module, arguments, task, classify)
    if module in FOLLOWED:
        return CallClass.READ, "is followed"
    if module == "meta" and arguments.get("_raw_params") not in META:
        return CallClass.UNKNOWN, f"meta: {arguments.get('_raw_params')} is not known here"
    rule = policy.rule(module)
    if rule is None:
        return CallClass.UNKNOWN, f"the module {module} is not listed in policies/ansible.yaml"
    if why := raised(rule, arguments):
        return CallClass.DESTROY, f"{module} with {why}"
    place = str(arguments.get("dest") or arguments.get("path") or arguments.get("name") or "")
    if class_of(rule) is CallClass.CHANGE and policy.guards(place):
        return CallClass.DESTROY, f"{module} on {place}, which decides who gets in or what starts"
    return class_of(rule), f"module {module}"


def _command(
    module: str, arguments: dict[str, Any], task: Mapping[Any, Any], classify: Classify
) -> tuple[CallClass, str]:
    """The shell classifier's word. `argv` with templates is judged with a placeholder in each, and is never a read: a
    placeholder may turn out to be an option. A line with templates is unknown: it may turn out to be another command.
    """
    if task.get("environment") and module != "raw":
        return CallClass.UNKNOWN, f"{module} with an environment of its own"
    argv = arguments.get("argv")
    if module == "command" and isinstance(argv, list):
        words = [str(word) for word in cast("list[Any]", argv)]
        filled = [re.sub(r"\{\{.*?\}\}|\{%.*?%\}", STANDS_FOR, word, flags=re.DOTALL) for word in words]
        if words and is_template(words[0]):
            return CallClass.UNKNOWN, "the program is known only when it runs"
        said = classify(shlex.join(filled))
        least = CallClass.CHANGE if filled != words else CallClass.READ
        return highest(least, said.cls), f"{module}: {said.rule}, {said.reason}"
    line = str(arguments.get("_raw_params") or arguments.get("cmd") or "")
    if is_template(line) or not line:
        return CallClass.UNKNOWN, f"{module}: the command is known only when it runs; write it as argv"
    said = classify(line)
    if arguments.get("stdin") or arguments.get("executable"):
        return highest(CallClass.UNKNOWN, said.cls), f"{module} with stdin or another shell"
    return said.cls, f"{module}: {said.rule}, {said.reason}"


def _sent(module: str, arguments: dict[str, Any]) -> list[tuple[Severity, str]]:
    """Files that go from the machine that runs the program to a host come from the playbook's own files only."""
    if module not in SENDS_FILES or str(arguments.get("remote_src", "")).lower() in {"true", "yes"}:
        return []
    if any(name.endswith(("_start_string", "_end_string")) for name in arguments):
        return [("wrong", "changes Jinja's delimiters; keep {{ }} and {% %}")]
    source = arguments.get("src")
    if source is None or (isinstance(source, str) and plain_path(source)):
        return []
    if is_template(str(source)):
        return [("unknown", f"{module} sends {source}, which is known only when it runs; name the file")]
    return [
        (
            "wrong",
            f"{module} sends {source!r}, which is none of the playbook's own files (remote_src: true copies on the host)",
        )
    ]


def _texts(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]
