"""policies/secrets.yaml: which secret may be filled in by which tool for which target (rule 24). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bot.policy.placeholders import NAME, placeholder

PORTS = {"http": 80, "https": 443}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("write scheme://host[:port]/path, without user, query or fragment")
    return text


class Bound(_Strict):
    tools: Annotated[tuple[str, ...], Field(min_length=1)]
    targets: Annotated[tuple[Annotated[str, AfterValidator(_address)], ...], Field(min_length=1)]


class SecretsFile(_Strict):
    """secrets.yaml as it stands."""

    secrets: dict[Annotated[str, Field(pattern=rf"^{NAME}$")], Bound] = {}


class SecretValues(_Strict):
    """The operator's file of values: name → value."""

    secrets: dict[Annotated[str, Field(pattern=rf"^{NAME}$")], Annotated[str, Field(min_length=6)]] = {}


@dataclass(frozen=True, slots=True)
class BoundSecrets:
    """The values, which come out only for what they are bound to."""

    bindings: Mapping[str, Bound] = field(default_factory=dict[str, Bound])
    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def refusal(self, name: str, tool: str, url: str) -> str:
        """Why `name` is not filled in there, in words for the model; "" where it is."""
        bound = self.bindings.get(name)
        shown = placeholder(name)
        if bound is None:
            known = ", ".join(placeholder(one) for one in self.bindings) or "none"
            return f"{shown} is bound to nothing, so it is filled in nowhere. Bound are: {known}"
        if tool not in bound.tools:
            return f"{shown} is not for {tool}: policies/secrets.yaml binds it to {', '.join(bound.tools)}"
        if not any(_covers(urlsplit(target), urlsplit(url)) for target in bound.targets):
            return f"{shown} is not for {url}: policies/secrets.yaml binds it to {', '.join(bound.targets)}"
        if name not in self.values:
            return f"{shown} has no value: the operator has to put it into WATCHBILL_SECRETS_FILE"
        return ""

    def value(self, name: str, tool: str, url: str) -> str:
        """The value. Raises LookupError where it is not bound to this: there is no other way to it."""
        if refusal := self.refusal(name, tool, url):
            raise LookupError(refusal)
        return self.values[name]


def _covers(target: SplitResult, url: SplitResult) -> bool:
    """Same scheme, host and port, no user in it, and a path that begins with the target's, whole parts only."""
    try:
        same = (target.scheme, target.hostname, target.port or PORTS[target.scheme]) == (
            url.scheme, url.hostname, url.port or PORTS.get(url.scheme, 0),
        )  # fmt: skip
    except ValueError:
        return False
    path = unquote(unquote(url.path)).replace("\\", "/")
    plain = url.username is None and not {"..", "."} & set(path.split("/"))
    root = target.path.rstrip("/")
    return same and plain and (url.path == root or url.path.startswith(f"{root}/") or (not root and not url.path))
