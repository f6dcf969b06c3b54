"""The static allow list for agent-written Terraform (rule 16). Pure: nothing is run, nothing is read but what is given.

`wrong` findings are refused with the mend. `unknown` findings are asked about. Everything else is understood.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from tools.terraform_syntax import FILE_FUNCTIONS, Block, Call, NotUnderstoodError, Parsed, parse

GATE_FILE: Final = "watchbill_backend.tf"  # written by the gate after the scan
PLAIN_KEY: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
META_ATTRIBUTES: Final = frozenset({"count", "for_each", "depends_on", "provider"})
SAFE_BLOCKS: Final = frozenset({"variable", "output", "locals", "moved", "import", "removed", "check"})
DANGEROUS_TYPES: Final[Mapping[str, str]] = {
    "external": "runs a program while planning",
    "http": "fetches from the network while planning",
    "local_file": "reads or writes this machine's files",
    "local_sensitive_file": "reads or writes this machine's files",
    "null_resource": "exists to run provisioners; use terraform_data for a plain value",
    "terraform_remote_state": "reads another state; use inputs instead",
}
REFUSED_FILES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"\.tf\.json$"), "JSON syntax is not read; write it as HCL in a .tf file"),
    (re.compile(r"\.tofu(\.json)?$"), "write .tf files; .tofu files hide code from Terraform"),
    (re.compile(r"(^|_)override\.tf$"), "override files change other files silently; edit the file itself"),
    (re.compile(r"\.tfvars\.json$"), "write values as HCL in a file named *.auto.tfvars"),
    (re.compile(r"^terragrunt\.hcl$"), "Terragrunt is not used here; call the blueprint as a module"),
    (
        re.compile(r"\.(tftest|tfmock|tfquery|tfstack|tfdeploy|tfcomponent)\.hcl$"),
        "only .tf and .tfvars files are used",
    ),
    (re.compile(r"^\.?terraform\.?rc$"), "the CLI's settings are the gate's"),
    (re.compile(r"\.tfstate|\.tfplan$"), "state and plans are kept by the estate, outside the code; delete this file"),
    (re.compile(rf"^{re.escape(GATE_FILE)}$"), "this name is the gate's: it says where the state is"),
)


class ProviderRule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    local_name: str
    mistaken_for: tuple[str, ...] = ()


class AllowList(BaseModel):
    """policies/terraform.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    providers: dict[str, ProviderRule]
    resources: dict[str, frozenset[str]]
    data: frozenset[str]
    provider_arguments: frozenset[str] = frozenset()
    dangers: dict[str, str] = {}

    def takes(self, kind: str, path: str) -> bool:
        """Whether a resource of this type may say this attribute, or hold this block."""
        listed = self.resources.get(kind, frozenset())
        return path in listed or any(known.startswith(f"{path}.") for known in listed)


def load_allow_list(path: Path) -> AllowList:
    """Raises pydantic's ValidationError that names the field, or OSError."""
    return AllowList.model_validate(yaml.safe_load(path.read_text()))


@dataclass(frozen=True, slots=True)
class Found:
    level: Literal["wrong", "unknown", "note"]
    file: str
    line: int
    text: str
    grave: bool = False  # stands first where not everything has room

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class Scan:
    found: tuple[Found, ...]
    files: tuple[str, ...]  # what Terraform will read as code or values

    def level(self, level: str) -> tuple[str, ...]:
        return tuple(str(f) for f in sorted(self.found, key=lambda f: not f.grave) if f.level == level)


@dataclass(frozen=True, slots=True)
class Sources:
    """What the rules look at: every file of the worktree, the folder to plan, the blueprints' hashes."""

    files: Mapping[str, bytes]
    directory: str
    allow: AllowList
    vetted: Mapping[str, str]

    def join(self, path: str) -> str:
        """A path as written in the code of `directory`, from the worktree's top. Leads with `..` if outside."""
        return posixpath.normpath(posixpath.join(self.directory or ".", path))


def scan(sources: Sources) -> Scan:
    """Look at everything that Terraform would read in `directory`."""
    found: list[Found] = []
    parsed: dict[str, Parsed] = {}
    here = [p for p in sorted(sources.files) if posixpath.dirname(p) == _top(sources.directory)]
    for path in here:
        name = posixpath.basename(path)
        reason = next((why for pattern, why in REFUSED_FILES if pattern.search(name)), None)
        if reason:
            found.append(Found("wrong", path, 0, reason))
        elif name.endswith((".tf", ".tfvars")):
            try:
                parsed[path] = parse(sources.files[path])
            except NotUnderstoodError as error:
                found.append(Found("wrong", path, error.line, f"{error}{_tfvars_hint(path, sources.files[path])}"))
    code = {path: p for path, p in parsed.items() if path.endswith(".tf")}
    values = {path: p for path, p in parsed.items() if path.endswith(".tfvars")}
    if not code and not found:
        found.append(Found("wrong", sources.directory or ".", 0, "there is no .tf file in this folder"))
    for path, file in code.items():
        found.extend(_check_code(sources, path, file))
    found.extend(_check_providers(sources, code))
    for path, file in values.items():
        found.extend(_check_values(path, file))
    return Scan(tuple(found), tuple(parsed))


def _top(directory: str) -> str:
    return "" if directory in {"", "."} else directory


def _tfvars_hint(path: str, content: bytes) -> str:
    if (
        path.endswith(".tf")
        and re.search(rb"^\s*\w+\s*=", content, re.MULTILINE)
        and not re.search(rb"\{\s*$", content, re.MULTILINE)
    ):
        return f"; if these are values of variables, name the file {path[:-3]}.auto.tfvars"
    return ""


def _check_values(path: str, file: Parsed) -> Iterator[Found]:
    name = posixpath.basename(path)
    if not name.endswith(".auto.tfvars") and name != "terraform.tfvars":
        yield Found("wrong", path, 0, f"Terraform does not read this file; rename it to {name[:-7]}.auto.tfvars")
    for block in file.blocks:
        yield Found("wrong", path, block.line, f"`{block.kind}` block: a .tfvars file holds only `name = value`")
    for line, words in file.doubts:
        yield Found("wrong", path, line, words)
    for call in file.calls:
        yield Found("wrong", path, call.line, f"`{call.name}(`: values are plain, functions are not called here")


def _check_code(sources: Sources, path: str, file: Parsed) -> Iterator[Found]:
    for line, words in file.doubts:
        yield Found("wrong", path, line, words)
    for attribute in file.attributes:
        mend = f"move it to {path[:-3]}.auto.tfvars" if len(file.attributes) > 1 or file.blocks else ""
        mend = mend or f"rename {path} to {path[:-3]}.auto.tfvars"
        text = f"`{attribute.name} = …` assigns a variable, which a .tf file cannot do; {mend}"
        yield Found("wrong", path, attribute.line, text)
    for block in file.blocks:
        yield from _check_top(sources, path, block)
    for block in file.walk():
        yield from _check_inside(sources, path, block)
    for call in file.calls:
        yield from _check_call(sources, path, call)


def _check_top(sources: Sources, path: str, block: Block) -> Iterator[Found]:
    match block.kind:
        case "terraform":
            yield from _check_terraform(path, block)
        case "provider":
            yield from _check_provider(sources, path, block)
        case "module":
            yield from _check_module(sources, path, block)
        case kind if kind not in SAFE_BLOCKS | {"resource", "data"}:
            yield Found("unknown", path, block.line, f"`{kind}` blocks are not on the allow list")
        case _:
            pass


def _check_inside(sources: Sources, path: str, block: Block) -> Iterator[Found]:
    if block.kind in {"provisioner", "connection"}:
        text = f"`{block.kind}` blocks run commands outside the gate; configure machines with cloud-init or Ansible"
        yield Found("wrong", path, block.line, text)
    if block.kind in {"resource", "data"} and block.labels:
        yield from _check_type(sources.allow, path, block)
    if block.kind == "resource" and block.labels and block.labels[0] in sources.allow.resources:
        yield from _check_body(sources.allow, path, block, block.labels[0], "")


def _check_type(allow: AllowList, path: str, block: Block) -> Iterator[Found]:
    name = block.labels[0]
    if name in DANGEROUS_TYPES:
        yield Found("wrong", path, block.line, f'{block.kind} "{name}" {DANGEROUS_TYPES[name]}')
    elif name not in (allow.resources if block.kind == "resource" else allow.data):
        text = f'{block.kind} "{name}" is not on the allow list (policies/terraform.yaml)'
        yield Found("unknown", path, block.line, text)


def _check_body(allow: AllowList, path: str, block: Block, kind: str, prefix: str) -> Iterator[Found]:
    """What stands in a resource, a block of it, or the content of a dynamic block, against its type's list."""
    meta = META_ATTRIBUTES if not prefix else frozenset[str]()
    for attribute in block.attributes:
        if attribute.name not in meta and not allow.takes(kind, f"{prefix}{attribute.name}"):
            yield _not_listed(allow, path, attribute.line, kind, f"{prefix}{attribute.name}")
    for inner in block.blocks:
        if inner.kind == "lifecycle" and not prefix:
            for one in (one for one in inner.blocks if one.kind not in {"precondition", "postcondition"}):
                yield _not_listed(allow, path, one.line, kind, f"lifecycle.{one.kind}")
            continue
        dynamic = inner.kind == "dynamic" and len(inner.labels) == 1
        name = f"{prefix}{inner.labels[0] if dynamic else inner.kind}"
        if not allow.takes(kind, name):
            yield _not_listed(allow, path, inner.line, kind, name)
            continue
        for body in (one for one in inner.blocks if one.kind == "content") if dynamic else (inner,):
            yield from _check_body(allow, path, body, kind, f"{name}.")


def _not_listed(allow: AllowList, path: str, line: int, kind: str, name: str) -> Found:
    danger = allow.dangers.get(name)
    why = f"{danger}; " if danger else ""
    return Found(
        "unknown", path, line, f"`{name}`: {why}{kind} does not list it (policies/terraform.yaml)", bool(danger)
    )


def _check_terraform(path: str, block: Block) -> Iterator[Found]:
    for inner in block.blocks:
        if inner.kind in {"backend", "cloud"}:
            text = f"`{inner.kind}`: the gate sets where the state is kept; remove the block"
            yield Found("wrong", path, inner.line, text)
        elif inner.kind != "required_providers":
            yield Found("unknown", path, inner.line, f"`{inner.kind}` in a terraform block is not on the allow list")
    for attribute in block.attributes:
        if attribute.name != "required_version":
            yield Found(
                "unknown", path, attribute.line, f"`{attribute.name}` in a terraform block is not on the allow list"
            )


def _check_provider(sources: Sources, path: str, block: Block) -> Iterator[Found]:
    name = block.labels[0] if block.labels else "?"
    if name not in {rule.local_name for rule in sources.allow.providers.values()}:
        return  # told once, with the right name, by _check_providers
    said = [(a.name, a.line) for a in block.attributes] + [(b.kind, b.line) for b in block.blocks]
    for word, line in said:
        if word not in sources.allow.provider_arguments:
            text = f'`{word}`: address and credentials come from the gate; write provider "{name}" {{}}'
            yield Found("wrong", path, line, text)


def _check_module(sources: Sources, path: str, block: Block) -> Iterator[Found]:
    source = block.attribute("source")
    known = sorted({"/".join(p.split("/")[:2]) for p in sources.vetted if p.count("/") == 2 and p.endswith(".tf")})
    offer = ", ".join(f"./{k}" for k in known) or "none here"
    line = source.line if source else block.line
    if source is None or source.literal is None:
        yield Found("wrong", path, line, f"a module's source is a plain text; the blueprints are: {offer}")
        return
    place = sources.join(source.literal)
    if not source.literal.startswith(("./", "../")) or place not in known:
        yield Found(
            "wrong", path, line, f"module source {source.literal!r}: modules come from blueprints only: {offer}"
        )
        return
    below = tuple(f"{one}/" for one in known)  # all of them: one blueprint may build on another
    want = {p: h for p, h in sources.vetted.items() if p.startswith(below)}
    have = {p: sha256(c).hexdigest() for p, c in sources.files.items() if p.startswith(below)}
    text = "differs from the vetted blueprint; restore it and set the module's inputs instead"
    yield from (Found("wrong", p, 0, text) for p in sorted({*want, *have}) if want.get(p) != have.get(p))


def _check_call(sources: Sources, path: str, call: Call) -> Iterator[Found]:
    if "::" in call.name:
        yield Found(
            "unknown", path, call.line, f"`{call.name}` is a provider's function, which is not on the allow list"
        )
        return
    if call.name not in FILE_FUNCTIONS:
        return
    if call.name == "templatestring":
        yield Found(
            "wrong", path, call.line, "`templatestring` evaluates computed text; write the text where it is used"
        )
        return
    first = call.arguments[0] if call.arguments else None
    if first is None:
        yield Found("wrong", path, call.line, f"`{call.name}`: the path must be a plain text inside the workspace")
        return
    place = sources.join(first)
    if first.startswith(("/", "~")) or place.startswith(".."):
        yield Found("wrong", path, call.line, f'`{call.name}("{first}")`: files are read only inside the workspace')
    elif call.name == "fileset":
        pattern = call.arguments[1] if len(call.arguments) > 1 else None
        if pattern is None or ".." in pattern or pattern.startswith("/"):
            yield Found("wrong", path, call.line, "`fileset`: the pattern must be a plain text without `..`")
    elif call.name != "fileexists" and place not in sources.files:
        yield Found("wrong", path, call.line, f"`{call.name}`: there is no file {place}")
    elif call.name == "templatefile" and re.search(rb"\b(file\w*|template\w+)\b", sources.files[place]):
        yield Found("wrong", path, call.line, f"{place}: a template may not name functions that read files")


def _check_providers(sources: Sources, code: Mapping[str, Parsed]) -> Iterator[Found]:
    """Every provider that Terraform would fetch for this folder is an allowed one, under its own name."""
    named: dict[str, str] = {}
    for path, file in code.items():
        for block in (b for top in file.blocks if top.kind == "terraform" for b in top.blocks):
            if block.kind != "required_providers":
                continue
            for inner in block.blocks:
                yield Found(
                    "wrong", path, inner.line, f"`{inner.kind}`: required_providers holds only `name = {{ … }}`"
                )
            for entry in block.attributes:
                odd = [e for e in entry.objects if not PLAIN_KEY.fullmatch(e.key)]
                keys = [e.name for e in entry.objects]
                if odd or len(set(keys)) < len(keys) or not entry.objects:
                    text = f"`{entry.name}`: a provider is said with plain, single keys; "
                    yield Found("wrong", path, (odd or [entry])[0].line, text + _declared(sources.allow, entry.name))
                    named[entry.name] = ""
                    continue
                inner = {e.name: e for e in entry.objects}
                source = (
                    inner["source"].literal if "source" in inner else entry.literal and None
                ) or f"hashicorp/{entry.name}"
                named[entry.name] = _short_source(source)
                yield from _check_source(sources.allow, path, entry.line, entry.name, source)
    for path, file in code.items():
        for kind, local, line in _used_providers(file):
            if local in named or local == "terraform":
                continue
            yield from _undeclared(sources.allow, path, line, kind, local)


def _used_providers(file: Parsed) -> Iterator[tuple[str, str, int]]:
    for block in file.walk():
        name = block.labels[0] if block.labels else ""
        chosen = block.attribute("provider")
        if block.kind in {"resource", "data"} and name and name not in DANGEROUS_TYPES:
            yield block.kind, chosen.words.split(".")[0] if chosen else name.split("_")[0], block.line
        elif block.kind == "provider" and name:
            yield "provider", name, block.line


def _undeclared(allow: AllowList, path: str, line: int, kind: str, local: str) -> Iterator[Found]:
    right = next((source for source, rule in allow.providers.items() if rule.local_name == local), None)
    if right is None:
        yield Found(
            "wrong", path, line, f"provider `{local}` is not allowed here; allowed: {', '.join(allow.providers)}"
        )
    else:
        text = f"this {kind} would fetch hashicorp/{local}, which does not exist; {_declare(local, right)}"
        yield Found("wrong", path, line, text)


def _check_source(allow: AllowList, path: str, line: int, local: str, source: str) -> Iterator[Found]:
    short = _short_source(source)
    if short in allow.providers:
        if allow.providers[short].local_name != local:
            yield Found("wrong", path, line, f"{short} must be named `{allow.providers[short].local_name}` here")
        return
    right = next((name for name, rule in allow.providers.items() if short in rule.mistaken_for), None)
    right = right or next(
        (name for name, rule in allow.providers.items() if rule.local_name in {local, short.split("/")[-1]}), None
    )
    words = f"is not allowed here; allowed: {', '.join(allow.providers)}"
    if right:
        words = f"is not the one; {_declare(allow.providers[right].local_name, right)}"
    yield Found("wrong", path, line, f"provider {source!r} {words}")


def _short_source(source: str) -> str:
    plain = source.lower()
    for host in ("registry.terraform.io/", "registry.opentofu.org/"):
        plain = plain.removeprefix(host)
    return plain


def _declared(allow: AllowList, local: str) -> str:
    """The right words for a provider that goes by this name here, or the allowed ones."""
    rules = allow.providers.items()
    right = next((source for source, rule in rules if rule.local_name == local), None)
    return _declare(local, right) if right else f"allowed: {', '.join(allow.providers)}"


def _declare(local: str, right: str) -> str:
    return f'the right one is {right}: terraform {{ required_providers {{ {local} = {{ source = "{right}" }} }} }}'
