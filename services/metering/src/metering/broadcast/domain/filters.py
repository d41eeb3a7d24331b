"""Which generations a destination's rules let through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from contracts.broadcast import FilterGroup, FilterLogic, FilterRule, FilterRules

Facts = Mapping[str, str | Decimal]
"""What is known of a generation, by the fields of rules. What is not there does not exist."""
Search = Callable[[str, str], bool]
"""Whether a regular expression is found in a text; an expression that is none is found nowhere."""
CONTENT_FIELDS: Final = frozenset({"input", "output"})


def asks_for_content(rules: FilterRules | None) -> bool:
    """Whether rules are about what was said."""
    if rules is None or not rules.enabled:
        return False
    return any(rule.field in CONTENT_FIELDS for group in rules.groups for rule in group.rules)


def lets_through(rules: FilterRules | None, facts: Facts, search: Search) -> bool:
    """Whether every group of rules lets a generation through."""
    if rules is None or not rules.enabled:
        return True
    return all(_group_holds(group, facts, search) for group in rules.groups)


def _group_holds(group: FilterGroup, facts: Facts, search: Search) -> bool:
    some = any if group.logic is FilterLogic.OR else all
    return some(_rule_holds(rule, facts, search) for rule in group.rules)


def _rule_holds(rule: FilterRule, facts: Facts, search: Search) -> bool:
    known = facts.get(rule.field)
    if rule.operator == "exists":
        return known is not None
    if rule.operator == "not_exists":
        return known is None
    if rule.operator.startswith("not_"):
        # What does not exist is not equal to anything, and contains nothing.
        return known is None or not _compares(rule.operator.removeprefix("not_"), known, rule, search)
    return known is not None and _compares(rule.operator, known, rule, search)


def _compares(operator: str, known: str | Decimal, rule: FilterRule, search: Search) -> bool:
    if isinstance(known, Decimal):
        number = Decimal(str(rule.value))
        match operator:
            case "gt":
                return known > number
            case "lt":
                return known < number
            case "gte":
                return known >= number
            case "lte":
                return known <= number
            case _:
                return known == number
    text = str(rule.value)
    match operator:
        case "regex":
            return search(text, known)
        case "contains":
            return text in known
        case "starts_with":
            return known.startswith(text)
        case "ends_with":
            return known.endswith(text)
        case _:
            return known == text
