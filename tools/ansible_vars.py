"""Extra variables against what the roles declare: names and types, before anything runs (seed failure 16). Pure.

Ansible itself turns a text into a list at its commas, and a Jinja loop over a text gives its letters. Here a text where
a list is declared is an error, as is a name that nothing declares.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from bot.domain.ids import Json
from tools.ansible_jinja import is_template
from tools.ansible_scan import RESERVED
from tools.ansible_yaml import LINE
from tools.site_vars import SiteVariables

Options = Mapping[str, Mapping[str, Any]]
NO_SITE: Final = SiteVariables()
TEXTS: Final = frozenset({"str", "path", "bytes", "bits", "sid", "json", "jsonarg"})
WORDS: Final = {"str": "a text", "path": "a path", "int": "a whole number", "float": "a number", "bool": "true or false",
                "list": "a list", "dict": "a mapping"}  # fmt: skip


def check(
    extra: Mapping[str, Json],
    specs: Mapping[str, Any],
    declared: Mapping[str, Sequence[Any]],
    site: SiteVariables = NO_SITE,
) -> list[str]:
    """What is wrong with the extra variables, and with variables of the code or of the site that contradict a role's
    declaration.
    """
    options = {role: _options(spec) for role, spec in specs.items()}
    known = {name for one in options.values() for name in one} | set(declared)
    found: list[str] = []
    for name, value in extra.items():
        if RESERVED.match(name):
            found.append(f"{name}: how hosts are reached is the inventory's word")
        elif name not in known:
            near = difflib.get_close_matches(name, known, 3)
            hint = (
                f"; did you mean {' or '.join(near)}?"
                if near
                else f". Known: {', '.join(sorted(known)[:30]) or 'none'}"
            )
            found.append(f"{name}: nothing in the playbook declares it{hint}")
        found += [f"{name}: values are data, not templates" for text in _texts(value) if is_template(text)][:1]
    for role, one in options.items():
        found += _role(role, one, extra, declared, site)
        found += [
            f"{site.shown}: {text} (role {role}); the operator has to mend it"
            for name, value in site.values.items()
            for text in _wrong(name, value, one.get(name, {"type": "raw"}))
        ]
    found += _like_the_default(extra, options, declared)
    return list(dict.fromkeys(found))


def _role(
    role: str, options: Options, extra: Mapping[str, Json], declared: Mapping[str, Sequence[Any]], site: SiteVariables
) -> Iterator[str]:
    for name, option in options.items():
        given: list[Any] = [extra[name]] if name in extra else list(declared.get(name, ()))
        for value in given:
            yield from (f"{text} (role {role})" for text in _wrong(name, value, option))
        if option.get("required") and not given and name not in site.values:
            yield f"{name}: role {role} needs it, and nothing sets it"


def _wrong(name: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit one declared option. A template in the code is known only when it runs."""
    kind = str(option.get("type", "str"))
    if value is None or kind == "raw" or (isinstance(value, str) and is_template(value)):
        return
    if not _fits(value, kind):
        yield f"{name}: takes {WORDS.get(kind, kind)}, and is {_kind(value)} ({str(value)[:60]!r})"
        return
    choices = option.get("choices")
    if isinstance(choices, list):
        allowed = cast("list[Any]", choices)
        wrong = [v for v in (cast("list[Any]", value) if isinstance(value, list) else [value]) if v not in allowed]
        if wrong:
            yield f"{name}: {wrong[0]!r} is none of {', '.join(map(str, allowed))}"
    inner = cast("Options", option.get("options") or {})
    if isinstance(value, list):
        element = {"type": option.get("elements", "raw"), "options": inner}
        for number, item in enumerate(cast("list[Any]", value)):
            yield from _wrong(f"{name}[{number}]", item, element)
    elif isinstance(value, dict) and inner:
        yield from _mapping(name, cast("dict[str, Any]", value), inner)


def _mapping(name: str, value: Mapping[str, Any], options: Options) -> Iterator[str]:
    for key, item in value.items():
        if key == LINE:
            continue
        if key not in options:
            yield f"{name}.{key}: is not declared; known: {', '.join(sorted(options))}"
        else:
            yield from _wrong(f"{name}.{key}", item, options[key])
    for key, option in options.items():
        if option.get("required") and key not in value:
            yield f"{name}.{key}: is needed"


def _like_the_default(
    extra: Mapping[str, Json], options: Mapping[str, Options], declared: Mapping[str, Sequence[Any]]
) -> Iterator[str]:
    """Where no role declares a type, the value that the code gives the variable says what it is."""
    for name, value in extra.items():
        if any(name in one for one in options.values()):
            continue
        for default in declared.get(name, ()):
            shape = "list" if isinstance(default, list) else "dict" if isinstance(default, dict) else ""
            if shape and not _fits(value, shape):
                yield f"{name}: is {WORDS[shape]} in the code, and {_kind(value)} here ({str(value)[:60]!r})"


def _fits(value: Any, kind: str) -> bool:
    if kind in TEXTS:
        return isinstance(value, str)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {"bool": bool, "list": list, "dict": dict}.get(kind, object))


def _kind(value: Any) -> str:
    names = {
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(cast("type[Any]", type(value)), "nothing")


def _options(spec: Any) -> Options:
    """The options of a role's entry point `main`; none where the file is missing or has another shape."""
    entry: Any = spec
    for key in ("argument_specs", "main", "options"):
        entry = cast("Mapping[str, Any]", entry).get(key) if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping):
        return {}
    plain = cast("Mapping[str, Any]", entry)
    return {name: _plain(option) for name, option in plain.items() if isinstance(option, Mapping) and name != LINE}


def _plain(option: Any) -> Mapping[str, Any]:
    made = {k: v for k, v in cast("Mapping[str, Any]", option).items() if k != LINE}
    if isinstance(made.get("options"), Mapping):
        inner = cast("Mapping[str, Any]", made["options"])
        made["options"] = {k: _plain(v) for k, v in inner.items() if k != LINE and isinstance(v, Mapping)}
    return made


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[str, Any]", value).items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in cast("Sequence[Any]", value):
            yield from _texts(item)
