"""Bodies of the calls that manage destinations of broadcast. No error repeats a value of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import re2
from msgspec import UNSET

from contracts.broadcast import TYPE_NAMES, FilterGroup, FilterLogic, FilterRule, FilterRules, rules_to_proto
from dialects.request_reading import convert_request, parse_request
from edge.api.observability.bodies import (
    DestinationChangeBody,
    DestinationFieldsBody,
    FilterRulesBody,
    NewDestinationBody,
)
from edge.domain.errors import InvalidInputError
from edge.guardrails.builtin_filters import compiled
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import records_pb2

T = TypeVar("T")
_TYPES: Final = {name: messages.DestinationType.ValueType(kind) for kind, name in TYPE_NAMES.items()}
_LOGICS: Final = {"and": FilterLogic.AND, "or": FilterLogic.OR}
_FLAGS: Final = {
    "enabled": "enabled",
    "privacy_mode": "privacy_mode",
    "broadcast_generation_cost": "broadcasts_cost",
    "broadcast_generation_identity": "broadcasts_identity",
    "broadcast_generation_request_context": "broadcasts_request_context",
}
_HEADERS: Final = "headers"


def new_destination(data: bytes, org_id: str) -> messages.CreateDestinationRequest:
    """Read a request to make a destination.

    Raises:
        InvalidInputError: a member of the configuration, or a rule, is wrong.
        InvalidRequestError: not JSON, or a member is missing, wrong or unknown.
    """
    body = convert_request(parse_request(data), NewDestinationBody)
    # Prompts go out where somebody said so, which is not the same as saying nothing.
    fields = messages.DestinationFields(name=body.name, enabled=True, privacy_mode=True, sampling_rate=1.0)
    _change(body, fields)
    return messages.CreateDestinationRequest(
        org_id=org_id,
        workspace_id=body.workspace_id or "",
        type=_TYPES[body.type],
        config=_config(body.config),
        fields=fields,
    )


def changed_destination(data: bytes, known: messages.Destination) -> messages.UpdateDestinationRequest:
    """Read a request to change a destination: absent members stay as they are, null removes a restriction.

    Raises:
        InvalidInputError: a member of the configuration, or a rule, is wrong.
        InvalidRequestError: not JSON, or a member is wrong or unknown.
    """
    body = convert_request(parse_request(data), DestinationChangeBody)
    fields = messages.DestinationFields()
    fields.CopyFrom(known.fields)
    if isinstance(body.name, str):
        fields.name = body.name
    _change(body, fields)
    request = messages.UpdateDestinationRequest(org_id=known.org_id, destination_id=known.destination_id, fields=fields)
    if isinstance(body.config, dict):
        request.config.CopyFrom(_config(body.config))
        request.replaces_headers = _HEADERS in body.config
    return request


def _change(body: DestinationFieldsBody, fields: messages.DestinationFields) -> None:
    for name, field in _FLAGS.items():
        value = getattr(body, name)
        if value is not UNSET:
            setattr(fields, field, value)
    if isinstance(body.sampling_rate, int | float):
        fields.sampling_rate = body.sampling_rate
    if body.api_key_hashes is None:
        fields.ClearField("allowed_key_digests")
    elif isinstance(body.api_key_hashes, list):
        fields.allowed_key_digests.CopyFrom(records_pb2.TextList(values=body.api_key_hashes))
    if body.filter_rules is None:
        fields.ClearField("filter_rules")
    elif isinstance(body.filter_rules, FilterRulesBody):
        fields.filter_rules.CopyFrom(rules_to_proto(_rules(body.filter_rules)))


def _rules(body: FilterRulesBody) -> FilterRules:
    rules = FilterRules(
        body.enabled,
        tuple(
            FilterGroup(
                _LOGICS[group.logic],
                tuple(FilterRule(rule.field, rule.operator, rule.value) for rule in group.rules),
            )
            for group in body.groups
        ),
    )
    problem = rules.problem()
    if problem is not None:
        raise _wrong(f"filter_rules.{problem[0]}", problem[1])
    for at, group in enumerate(rules.groups):
        for rule_at, rule in enumerate(group.rules):
            if rule.operator == "regex":
                try:
                    compiled(str(rule.value))
                except re2.error:
                    name = f"filter_rules.groups[{at}].rules[{rule_at}].value"
                    raise _wrong(name, "expected a regular expression of RE2") from None
    return rules


def _config(document: Mapping[str, Any]) -> messages.DestinationConfig:
    config = messages.DestinationConfig()
    for name, value in document.items():
        if name == _HEADERS:
            _read_headers(value, config)
        elif value is None:
            config.members[name] = ""
        elif isinstance(value, str) and value:
            config.members[name] = value
        else:
            raise _wrong(f"config.{name}", "expected a string that is not empty")
    return config


def _read_headers(value: object, config: messages.DestinationConfig) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _wrong(f"config.{_HEADERS}", "expected an object of strings")
    for name, text in value.items():
        config.headers[name] = text


def _wrong(name: str, rule: str) -> InvalidInputError:
    shown = name if len(name) <= 100 and name.isprintable() else "config"
    return InvalidInputError(f"{shown}: {rule}", shown)
