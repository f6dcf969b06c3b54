"""cedarpy behind a few typed functions: parse, validate, ask. The untyped part of the library stops here."""
# cedarpy annotates with bare dict:
# pyright: reportUnknownMemberType=false

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import cedarpy
from cedarpy import pst

from bot.domain.ids import Json
from bot.policy.problems import PolicyError
from bot.policy.rules import Rule, read_rule

Named = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Uid:
    """An entity as a request names it."""

    kind: str
    name: str

    def as_json(self) -> dict[str, str]:
        return {"type": self.kind, "id": self.name}

    def as_text(self) -> str:
        return f"{self.kind}::{json.dumps(self.name, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What Cedar says. With any `errors` nothing else counts: a forbid that errs is skipped, and the call allowed."""

    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...]


class CedarPolicies:
    """Parsed and validated policies under names of our own, with the rules that their annotations make."""

    def __init__(self, schema_text: str, files: Mapping[str, str]) -> None:
        """`files` are policy texts by file name. Raises PolicyError."""
        self._schema = _parse_schema(schema_text)
        self._entities = cedarpy.Entities.from_json_str("[]")
        self._templates: dict[str, pst.Template] = {}
        self.rules: dict[str, Rule] = {}
        for file, text in sorted(files.items()):
            for template in _parse(file, text, self._schema):
                rule = read_rule(file, template.effect, template.annotations)
                if rule.name in self.rules:
                    raise PolicyError(rule.name, "@id", "two policies have this name", "Rename one")
                self._templates[rule.name] = replace(template, id=rule.name)
                self.rules[rule.name] = rule
        self._all = _compiled(self._templates.values())
        self._alone = {name: _compiled([template]) for name, template in self._templates.items()}
        self.named = _named(self._templates)

    def ask(self, principal: Uid, action: Uid, resource: Uid, context: Mapping[str, Json]) -> Answer:
        """The decision of all policies over one whole request."""
        request = {
            "principal": principal.as_json(),
            "action": action.as_json(),
            "resource": resource.as_json(),
            "context": dict(context),
        }
        answer = cedarpy.is_authorized(request, self._all, self._entities, self._schema)
        errors = tuple(answer.diagnostics.errors)
        return Answer(answer.allowed and not errors, tuple(sorted(answer.diagnostics.reasons)), errors)

    def may_permit(self, policy: str, principal: Uid, action: Uid, resource: Uid) -> bool:
        """False only if `policy` alone denies this for every context there can be."""
        request = {"principal": principal.as_text(), "action": action.as_text(), "resource": resource.as_text()}
        # Without them `in` over entities that nobody listed stays unknown, and everything could be permitted.
        known: list[Json] = [{"uid": uid.as_json(), "attrs": {}, "parents": []} for uid in (principal, resource)]
        answer = cedarpy.is_authorized_partial(request, self._alone[policy], json.dumps(known), self._schema)
        return answer.decision is not cedarpy.Decision.Deny or bool(answer.diagnostics.errors)


def _parse_schema(text: str) -> cedarpy.Schema:
    try:
        return cedarpy.Schema.from_str(text)
    except ValueError as error:
        raise PolicyError("policies/schema.cedarschema", "", f"{error}", "Restore the file") from error


def _parse(file: str, text: str, schema: cedarpy.Schema) -> list[pst.Template]:
    """The policies of one file, validated against the schema. Templates are refused: nothing would link them."""
    try:
        parsed = cedarpy.PolicySet.from_str(text).to_pst()
    except ValueError as error:
        raise PolicyError(file, "", f"{error}", "Mend the policy's syntax") from error
    valid = cedarpy.validate_policies(text, schema)
    if not valid.validation_passed:
        raise PolicyError(file, "", "; ".join(map(str, valid.errors)), "Use the names of policies/schema.cedarschema")
    if parsed.templates:
        raise PolicyError(file, "", "a template with ?principal or ?resource is never linked", "Write a plain policy")
    return list(parsed.static_policies.values())


def _compiled(templates: Iterable[pst.Template]) -> cedarpy.PolicySet:
    policies = {template.id: template for template in templates}
    return cedarpy.PolicySet.from_pst(pst.PolicySet(templates={}, static_policies=policies, template_links=()))


def _named(templates: Mapping[str, pst.Template]) -> Named:
    found: dict[str, set[str]] = {"Persona": set(), "Tool": set(), "Environment": set()}
    for uid in pst.entity_uids(templates):
        found.setdefault(str(uid.type), set()).add(uid.id)
    return {kind: frozenset(names) for kind, names in found.items()}
