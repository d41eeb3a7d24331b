"""Broadcast: the words of destinations and of the rules that say which generations go there.

Names are those of OpenRouter's `/observability/destinations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from contracts.sealed_secrets import Purpose
from turnpike.accounts.v1 import destination_service_pb2 as messages

MAX_FILTER_GROUPS: Final = 10
MAX_FILTER_RULES: Final = 20
MAX_FILTER_TEXT: Final = 1_000
MIN_SAMPLING_RATE: Final = 0.0001

TEXT_FIELDS: Final = frozenset(
    {"model", "provider", "session_id", "user_id", "api_key_name", "finish_reason", "input", "output"}
)
NUMBER_FIELDS: Final = frozenset({"total_cost", "total_tokens", "prompt_tokens", "completion_tokens"})
TEXT_OPERATORS: Final = frozenset({"contains", "not_contains", "regex", "starts_with", "ends_with"})
NUMBER_OPERATORS: Final = frozenset({"gt", "lt", "gte", "lte"})
EQUALITY_OPERATORS: Final = frozenset({"equals", "not_equals"})
PRESENCE_OPERATORS: Final = frozenset({"exists", "not_exists"})
FIELDS: Final = TEXT_FIELDS | NUMBER_FIELDS
OPERATORS: Final = TEXT_OPERATORS | NUMBER_OPERATORS | EQUALITY_OPERATORS | PRESENCE_OPERATORS


class DestinationType(IntEnum):
    """What a destination is; the numbers are those of the wire."""

    OTEL_COLLECTOR = 1
    WEBHOOK = 2
    S3 = 3


TYPE_NAMES: Final[Mapping[DestinationType, str]] = MappingProxyType(
    {
        DestinationType.OTEL_COLLECTOR: "otel-collector",
        DestinationType.WEBHOOK: "webhook",
        DestinationType.S3: "s3",
    }
)


class FilterLogic(IntEnum):
    """How the rules of a group go together; the numbers are those of the wire."""

    AND = 1
    OR = 2


@dataclass(frozen=True, slots=True)
class FilterRule:
    """A statement about a generation. `value` is None for operators that need nothing."""

    field: str
    operator: str
    value: str | float | None = None

    def problem(self) -> str | None:
        """Say what is wrong with it: None when nothing is."""
        if self.field not in FIELDS:
            return "field is not one that rules can be about"
        if self.operator not in OPERATORS:
            return "operator is not known"
        if self.operator in PRESENCE_OPERATORS:
            return None
        if self.operator in NUMBER_OPERATORS and self.field not in NUMBER_FIELDS:
            return "operator compares numbers, and the field is a text"
        if self.operator in TEXT_OPERATORS and self.field not in TEXT_FIELDS:
            return "operator compares texts, and the field is a number"
        if self.value is None:
            return "value is required"
        if self.field in NUMBER_FIELDS and isinstance(self.value, str):
            return "value must be a number"
        if self.field in TEXT_FIELDS and not isinstance(self.value, str):
            return "value must be a text"
        if isinstance(self.value, str) and len(self.value) > MAX_FILTER_TEXT:
            return f"value must have at most {MAX_FILTER_TEXT} characters"
        return None


@dataclass(frozen=True, slots=True)
class FilterGroup:
    """Rules that are taken together."""

    logic: FilterLogic
    rules: tuple[FilterRule, ...]


@dataclass(frozen=True, slots=True)
class FilterRules:
    """Which generations are sent: those that every group lets through; all, when switched off."""

    enabled: bool
    groups: tuple[FilterGroup, ...]

    def problem(self) -> tuple[str, str] | None:
        """Say which member is wrong, and how; None when nothing is."""
        if not len(self.groups) <= MAX_FILTER_GROUPS:
            return "groups", f"must have at most {MAX_FILTER_GROUPS} entries"
        for at, group in enumerate(self.groups):
            if not 1 <= len(group.rules) <= MAX_FILTER_RULES:
                return f"groups[{at}].rules", f"must have 1 to {MAX_FILTER_RULES} entries"
            for rule_at, rule in enumerate(group.rules):
                problem = rule.problem()
                if problem is not None:
                    name, _, words = problem.partition(" ")
                    return f"groups[{at}].rules[{rule_at}].{name}", words
        return None


def purpose_of(org_id: str, destination_id: str, version: int) -> Purpose:
    """What is authenticated with the configuration of a destination."""
    return Purpose(org_id, "broadcast", destination_id, version)


def rules_from_proto(message: messages.FilterRules) -> FilterRules:
    """Read rules off the wire.

    Raises:
        ValueError: a group does not say how its rules go together.
    """
    return FilterRules(
        message.enabled,
        tuple(
            FilterGroup(FilterLogic(group.logic), tuple(_rule_from_proto(rule) for rule in group.rules))
            for group in message.groups
        ),
    )


def rules_to_proto(rules: FilterRules) -> messages.FilterRules:
    """Put rules on the wire."""
    return messages.FilterRules(
        enabled=rules.enabled,
        groups=[
            messages.FilterGroup(
                logic=messages.FilterLogic.ValueType(group.logic), rules=[_rule_to_proto(rule) for rule in group.rules]
            )
            for group in rules.groups
        ],
    )


def _rule_from_proto(message: messages.FilterRule) -> FilterRule:
    which = message.WhichOneof("value")
    value = None if which is None else message.text if which == "text" else message.number
    return FilterRule(message.field, message.operator, value)


def _rule_to_proto(rule: FilterRule) -> messages.FilterRule:
    message = messages.FilterRule(field=rule.field, operator=rule.operator)
    if isinstance(rule.value, str):
        message.text = rule.value
    elif rule.value is not None:
        message.number = rule.value
    return message
