"""Bodies of the calls that manage guardrails, checked member by member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from contracts.guardrails import (
    BUILTIN_SLUGS,
    PROMPT_INJECTION,
    RETENTION_GROUPS,
    BuiltinFilter,
    ContentFilter,
    FilterAction,
    GuardrailPolicy,
)
from contracts.spend import SpendInterval
from edge.api.management.guardrail_bodies import GuardrailChangeBody, NewGuardrailBody
from edge.api.management.key_requests import INTERVALS, rate_limits
from edge.api.management.members import JsonMembers, read_body
from edge.guardrails.content_filters import PatternError, compile_filter

_ACTIONS: Final = {action.value: action for action in FilterAction}
_SLUGS: Final = {slug: slug for slug in BUILTIN_SLUGS}
_SCOPES: Final[Mapping[str, bool]] = {"all_messages": False, "user_only": True}
_FILTER_MEMBERS: Final = frozenset({"pattern", "label", "action"})
_BUILTIN_MEMBERS: Final = frozenset({"slug", "action", "label", "scan_scope"})
_MAX_NAME: Final = 200
_MAX_DESCRIPTION: Final = 1_000


@dataclass(frozen=True, slots=True)
class GuardrailBody:
    """A guardrail as a request says it."""

    name: str
    description: str
    policy: GuardrailPolicy
    workspace_id: str = ""


def new_guardrail(data: bytes) -> GuardrailBody:
    """Read a request for a new guardrail.

    Raises:
        InvalidInputError: not JSON, or a member is missing, wrong or unknown.
    """
    members = read_body(data, NewGuardrailBody)
    blank = GuardrailBody(members.required_text("name", most=_MAX_NAME), "", GuardrailPolicy())
    return replace(_changed(members, blank), workspace_id=members.text("workspace_id") or "")


def changed_guardrail(data: bytes, known: GuardrailBody) -> GuardrailBody:
    """Read a request to change a guardrail: absent members stay as they are, null says nothing any more.

    Raises:
        InvalidInputError: not JSON, or a member is wrong or unknown.
    """
    return _changed(read_body(data, GuardrailChangeBody), known)


def _changed(members: JsonMembers, known: GuardrailBody) -> GuardrailBody:
    policy = known.policy
    if members.has("limit_usd"):
        policy = replace(policy, limit=members.dollars("limit_usd"))
    if members.has("reset_interval"):
        policy = replace(policy, reset_interval=members.choice("reset_interval", INTERVALS) or SpendInterval.NEVER)
    with_byok = members.flag("include_byok_in_budgets")
    if with_byok is not None:
        policy = replace(policy, include_byok_in_budgets=with_byok)
    if members.has("allowed_models"):
        policy = replace(policy, allowed_models=members.texts("allowed_models"))
    if members.has("allowed_providers"):
        policy = replace(policy, allowed_providers=members.texts("allowed_providers"))
    if members.has("ignored_models"):
        policy = replace(policy, ignored_models=members.texts("ignored_models", may_be_empty=True) or None)
    if members.has("ignored_providers"):
        policy = replace(policy, ignored_providers=members.texts("ignored_providers", may_be_empty=True) or None)
    if members.has("enable_paid_model_training"):
        policy = replace(policy, paid_training=members.flag("enable_paid_model_training"))
    if members.has("enable_free_model_training"):
        policy = replace(policy, free_training=members.flag("enable_free_model_training"))
    if members.has("enable_free_model_publication"):
        policy = replace(policy, free_publication=members.flag("enable_free_model_publication"))
    if members.has("content_filters"):
        policy = replace(policy, filters=_filters(members))
    if members.has("content_filter_builtins"):
        policy = replace(policy, builtins=_builtins(members))
    limits = rate_limits(members, "rate_limits")
    if limits is not None:
        policy = replace(policy, rate_limits=limits)
    policy = replace(policy, retention=_retention(members, policy.retention))
    name, description = members.text("name", most=_MAX_NAME), known.description
    if members.has("description"):
        description = members.text("description", most=_MAX_DESCRIPTION) or ""
    return GuardrailBody(known.name if name is None else name, description, policy)


def _retention(members: JsonMembers, known: Mapping[str, bool]) -> dict[str, bool]:
    """What each group says; the deprecated `enforce_zdr` speaks for those that the request does not name."""
    every = members.flag("enforce_zdr")
    retention = dict(known)
    for group in RETENTION_GROUPS:
        name = f"enforce_zdr_{group}"
        value = members.flag(name) if members.has(name) else every
        if value is not None:
            retention[group] = value
        elif members.has(name):
            retention.pop(group, None)
    return retention


def _filters(members: JsonMembers) -> tuple[ContentFilter, ...]:
    filters = []
    for entry in members.objects("content_filters", _FILTER_MEMBERS) or ():
        action = entry.choice("action", _ACTIONS)
        if action is None:
            raise entry.wrong("action", "required")
        made = ContentFilter(entry.required_text("pattern"), action, entry.text("label", most=100) or "")
        try:
            compile_filter(made)
        except PatternError as error:
            raise entry.wrong("pattern", str(error)) from None
        filters.append(made)
    return tuple(filters)


def _builtins(members: JsonMembers) -> tuple[BuiltinFilter, ...]:
    filters = []
    for entry in members.objects("content_filter_builtins", _BUILTIN_MEMBERS) or ():
        slug, action = entry.choice("slug", _SLUGS), entry.choice("action", _ACTIONS)
        if slug is None or action is None:
            raise entry.wrong("slug" if slug is None else "action", "required")
        user_only = entry.choice("scan_scope", _SCOPES) or False
        filters.append(BuiltinFilter(slug, action, user_only and slug == PROMPT_INJECTION))
    return tuple(filters)
