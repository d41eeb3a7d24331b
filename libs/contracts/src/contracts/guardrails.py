"""Guardrails as values: what keys and members may ask for, and what may be in their requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID, uuid5

from google.protobuf.timestamp_pb2 import Timestamp

from contracts.rate_limits import RateLimit, rate_limits_from_proto, rate_limits_to_proto
from contracts.spend import SpendInterval
from turnpike.accounts.v1 import guardrail_pb2, records_pb2

# Authors of models that data retention can be ruled for one by one. `other` stands for all that are not named.
RETENTION_GROUPS = ("anthropic", "openai", "google", "xai", "other")
BUILTIN_SLUGS = (
    "email",
    "phone",
    "ssn",
    "credit-card",
    "ip-address",
    "person-name",
    "address",
    "regex-prompt-injection",
)
PROMPT_INJECTION = "regex-prompt-injection"


_DEFAULTS = UUID("5d0c7e7a-3b8f-5a39-9a5f-6f5b1a2c7d10")


def default_guardrail_id(workspace_id: str) -> str:
    """The id of the guardrail that binds every key of a workspace; it exists once it was changed."""
    return str(uuid5(_DEFAULTS, workspace_id))


class FilterAction(StrEnum):
    """What happens when a content filter finds something, from the weakest to the strongest."""

    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class ContentFilter:
    """A regular expression in the syntax of RE2; `label` may be empty."""

    pattern: str
    action: FilterAction
    label: str = ""


@dataclass(frozen=True, slots=True)
class BuiltinFilter:
    """Something that Turnpike knows to look for. `user_only` looks at messages of users only."""

    slug: str
    action: FilterAction
    user_only: bool = False


@dataclass(frozen=True, slots=True)
class GuardrailPolicy:
    """What a guardrail says. None, and an empty collection of filters or limits, says nothing.

    Attributes:
        limit: most that each key or member may spend in an interval, in nano-dollars.
        retention: whether models of each of RETENTION_GROUPS are only used where nothing is kept.
        paid_training, free_training, free_publication: whether such endpoints may be used.
    """

    limit: int | None = None
    reset_interval: SpendInterval = SpendInterval.NEVER
    include_byok_in_budgets: bool = False
    allowed_models: tuple[str, ...] | None = None
    ignored_models: tuple[str, ...] | None = None
    allowed_providers: tuple[str, ...] | None = None
    ignored_providers: tuple[str, ...] | None = None
    retention: Mapping[str, bool] = field(default_factory=dict)
    paid_training: bool | None = None
    free_training: bool | None = None
    free_publication: bool | None = None
    filters: tuple[ContentFilter, ...] = ()
    builtins: tuple[BuiltinFilter, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A guardrail. One that is the default of its workspace binds every key there; others are assigned."""

    guardrail_id: str
    org_id: str
    workspace_id: str
    name: str
    policy: GuardrailPolicy
    created_at: datetime
    description: str = ""
    is_workspace_default: bool = False
    updated_at: datetime | None = None
    revision: int = 1


_ACTIONS = {
    guardrail_pb2.FILTER_ACTION_FLAG: FilterAction.FLAG,
    guardrail_pb2.FILTER_ACTION_REDACT: FilterAction.REDACT,
    guardrail_pb2.FILTER_ACTION_BLOCK: FilterAction.BLOCK,
}
_ACTION_NUMBERS = {action: number for number, action in _ACTIONS.items()}


def guardrail_from_proto(record: guardrail_pb2.GuardrailRecord) -> Guardrail:
    """Read a guardrail.

    Raises:
        ValueError: it does not say which it is, or says something that cannot be kept because it is not understood.
    """
    if not record.guardrail_id or not record.org_id:
        raise ValueError("incomplete guardrail record")
    return Guardrail(
        guardrail_id=record.guardrail_id,
        org_id=record.org_id,
        workspace_id=record.workspace_id,
        name=record.name,
        policy=policy_from_proto(record.policy),
        created_at=record.created_at.ToDatetime(UTC),
        description=record.description,
        is_workspace_default=record.is_workspace_default,
        updated_at=record.updated_at.ToDatetime(UTC) if record.HasField("updated_at") else None,
        revision=record.revision,
    )


def guardrail_to_proto(guardrail: Guardrail) -> guardrail_pb2.GuardrailRecord:
    """Write a guardrail."""
    record = guardrail_pb2.GuardrailRecord(
        guardrail_id=guardrail.guardrail_id,
        org_id=guardrail.org_id,
        workspace_id=guardrail.workspace_id,
        name=guardrail.name,
        description=guardrail.description,
        is_workspace_default=guardrail.is_workspace_default,
        policy=policy_to_proto(guardrail.policy),
        created_at=_timestamp(guardrail.created_at),
        revision=guardrail.revision,
    )
    if guardrail.updated_at is not None:
        record.updated_at.CopyFrom(_timestamp(guardrail.updated_at))
    return record


def policy_from_proto(message: guardrail_pb2.GuardrailPolicy) -> GuardrailPolicy:
    """Read what a guardrail says.

    Raises:
        ValueError: an interval, an action, a filter or a limit is not understood.
    """
    retention = {
        group: getattr(message, f"enforce_zdr_{group}")
        for group in RETENTION_GROUPS
        if message.HasField(f"enforce_zdr_{group}")  # type: ignore[arg-type]  # the names are those of the fields
    }
    return GuardrailPolicy(
        limit=message.limit_nano_usd if message.HasField("limit_nano_usd") else None,
        reset_interval=SpendInterval(message.reset_interval),
        include_byok_in_budgets=message.include_byok_in_budgets,
        allowed_models=tuple(message.allowed_models.values) if message.HasField("allowed_models") else None,
        ignored_models=tuple(message.ignored_models.values) if message.HasField("ignored_models") else None,
        allowed_providers=tuple(message.allowed_providers.values) if message.HasField("allowed_providers") else None,
        ignored_providers=tuple(message.ignored_providers.values) if message.HasField("ignored_providers") else None,
        retention=retention,
        paid_training=message.enable_paid_model_training if message.HasField("enable_paid_model_training") else None,
        free_training=message.enable_free_model_training if message.HasField("enable_free_model_training") else None,
        free_publication=message.enable_free_model_publication
        if message.HasField("enable_free_model_publication")
        else None,
        filters=tuple(
            ContentFilter(each.pattern, _action(each.action), each.label) for each in message.content_filters
        ),
        builtins=tuple(_builtin(each) for each in message.content_filter_builtins),
        rate_limits=rate_limits_from_proto(message.rate_limits),
    )


def policy_to_proto(policy: GuardrailPolicy) -> guardrail_pb2.GuardrailPolicy:
    """Write what a guardrail says."""
    return guardrail_pb2.GuardrailPolicy(
        limit_nano_usd=policy.limit,
        reset_interval=records_pb2.SpendInterval.ValueType(policy.reset_interval),
        include_byok_in_budgets=policy.include_byok_in_budgets,
        allowed_models=_list(policy.allowed_models),
        ignored_models=_list(policy.ignored_models),
        allowed_providers=_list(policy.allowed_providers),
        ignored_providers=_list(policy.ignored_providers),
        enforce_zdr_anthropic=policy.retention.get("anthropic"),
        enforce_zdr_openai=policy.retention.get("openai"),
        enforce_zdr_google=policy.retention.get("google"),
        enforce_zdr_xai=policy.retention.get("xai"),
        enforce_zdr_other=policy.retention.get("other"),
        enable_paid_model_training=policy.paid_training,
        enable_free_model_training=policy.free_training,
        enable_free_model_publication=policy.free_publication,
        content_filters=[
            guardrail_pb2.ContentFilter(pattern=each.pattern, label=each.label, action=_ACTION_NUMBERS[each.action])
            for each in policy.filters
        ],
        content_filter_builtins=[
            guardrail_pb2.BuiltinFilter(slug=each.slug, action=_ACTION_NUMBERS[each.action], user_only=each.user_only)
            for each in policy.builtins
        ],
        rate_limits=rate_limits_to_proto(policy.rate_limits),
    )


def _builtin(message: guardrail_pb2.BuiltinFilter) -> BuiltinFilter:
    if message.slug not in BUILTIN_SLUGS:
        raise ValueError("a content filter of an unknown kind")
    return BuiltinFilter(message.slug, _action(message.action), message.user_only)


def _action(number: int) -> FilterAction:
    action = _ACTIONS.get(guardrail_pb2.FilterAction.ValueType(number))
    if action is None:
        raise ValueError("an unknown action of a content filter")
    return action


def _list(values: tuple[str, ...] | None) -> records_pb2.TextList | None:
    return None if values is None else records_pb2.TextList(values=values)


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message
