"""What every tool shares: strict arguments, a schema for the model, and the plain answers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from bot.domain.calls import CallClass, Effect, Prepared, ResultStatus, Target, ToolCall, ToolResult
from bot.domain.ids import Json
from bot.domain.ports import ArgumentError, Cannot, Done, Scope, Watch
from bot.policy.placeholders import PLACEHOLDER, name_of, names_in, placeholder


class SecretRef(RootModel[Annotated[str, Field(pattern=rf"^{PLACEHOLDER.pattern}$")]]):
    """An argument typed as secret: the model writes ‹secret:name›, the tool asks BoundSecrets for the value when it
    runs. Bindings, logs, cards and digests hold the placeholder.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    @property
    def name(self) -> str:
        return name_of(self.root) or ""


class Arguments(BaseModel):
    """Arguments as a model sends them. Unknown names are errors; types are not guessed. A secret's placeholder is
    refused in every argument that is not a SecretRef (rule 24): it stands for a value that no file or command gets.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, arguments: Mapping[str, Json]) -> Self:
        """Raises ArgumentError that names each wrong argument and what the tool takes."""
        try:
            read = cls.model_validate(dict(arguments))
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(str(p) for p in e['loc']) or 'arguments'}: {e['msg']}" for e in error.errors()
            )
            takes = ", ".join(cls.model_fields) or "none"
            raise ArgumentError(f"{wrong}. The arguments are: {takes}") from None
        if loose := sorted(set(_loose_names(read))):
            shown = ", ".join(placeholder(name) for name in loose)
            raise ArgumentError(
                f"{shown} stands for a secret that is not shown, and is filled in only in arguments made for secrets. "
                "Write a variable or a reference to where the target keeps it; to change a file that holds a secret, "
                "patch the lines around it"
            )
        return read


A = TypeVar("A", bound=Arguments)


class TypedTool(ABC, Generic[A]):
    """A tool (bot.domain.ports.Tool). A read keeps the plain `pins` and `recover`; a durable tool has its own."""

    name: str
    description: str
    timeout_s: float = 60.0
    durable: bool = False
    together: bool = False
    arguments: type[A]

    @property
    def schema(self) -> Mapping[str, Json]:
        return _untitled(self.arguments.model_json_schema())

    def parse(self, arguments: Mapping[str, Json]) -> A:
        return self.arguments.read(arguments)

    @abstractmethod
    async def prepare(self, call: ToolCall, arguments: A, scope: Scope) -> Prepared | Cannot: ...

    async def pins(self, prepared: Prepared, arguments: A) -> Mapping[str, str]:  # noqa: ARG002 - the port's shape
        return prepared.pins

    @abstractmethod
    async def run(self, prepared: Prepared, arguments: A, scope: Scope, watch: Watch) -> Done: ...

    async def recover(self, prepared: Prepared, arguments: A, scope: Scope, watch: Watch) -> Done:  # noqa: ARG002 - port
        return answer(prepared, "failed", f"{self.name} was interrupted. It changes nothing outside: call it again.")


def read_effect(rule: str, reason: str, *targets: Target) -> Effect:
    return Effect(cls=CallClass.READ, rule=rule, reason=reason, targets=targets)


def bind(call: ToolCall, effect: Effect, arguments: Arguments, **more: Json) -> Prepared:
    """A prepared call that reads no snapshot: the binding is the tool, its arguments and `more`."""
    binding: dict[str, Json] = {"tool": call.tool, "arguments": arguments.model_dump(mode="json"), **more}
    return Prepared(call=call, effect=effect, binding=binding)


def answer(
    prepared: Prepared,
    status: ResultStatus,
    text: str,
    *,
    facts: Mapping[str, Json] | None = None,
    changed: bool = False,
) -> Done:
    """A tool's result. Capping, redaction and the artifact are the gate's."""
    call = prepared.call
    return Done(ToolResult(call.id, call.tool, status, text, facts=facts or {}, changed=changed))


def _loose_names(value: object) -> Iterator[str]:
    """Names of secrets whose placeholders stand elsewhere than in a SecretRef."""
    match value:
        case SecretRef():
            return
        case BaseModel():
            for name in type(value).model_fields:
                yield from _loose_names(getattr(value, name))
        case str() | dict() | list():
            yield from names_in(cast("Json", value))
        case tuple():
            for item in cast("tuple[object, ...]", value):
                yield from _loose_names(item)
        case _:
            return


def _untitled(value: Any) -> Any:
    """A JSON schema without titles, which only cost tokens."""
    if isinstance(value, list):
        return [_untitled(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    node = cast("dict[str, Any]", value)
    plain: dict[str, Any] = {}
    for key, item in node.items():
        if key == "properties":
            plain[key] = {name: _untitled(inner) for name, inner in item.items()}
        elif key != "title":
            plain[key] = _untitled(item)
    return plain
