"""Types of the bodies that make and change destinations of broadcast."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.broadcast import MAX_FILTER_GROUPS, MAX_FILTER_RULES, MAX_FILTER_TEXT, MIN_SAMPLING_RATE

TypeName = Literal["otel-collector", "webhook", "s3"]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
Rate = Annotated[float, Meta(ge=MIN_SAMPLING_RATE, le=1)]
Hashes = Annotated[list[Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]], Meta(min_length=1, max_length=100)]
Regions = Annotated[list[Literal["global"]], Meta(max_length=10)]
Config = Annotated[dict[str, Any], Meta(max_length=20, description="Depends on `type`; texts, and `headers` by name.")]
RuleField = Literal[
    "model", "provider", "session_id", "user_id", "api_key_name", "finish_reason", "input", "output", "total_cost",
    "total_tokens", "prompt_tokens", "completion_tokens",
]  # fmt: skip
RuleOperator = Literal[
    "equals", "not_equals", "contains", "not_contains", "regex", "starts_with", "ends_with", "gt", "lt", "gte", "lte",
    "exists", "not_exists",
]  # fmt: skip


class FilterRuleBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement about a generation."""

    field: RuleField
    operator: RuleOperator
    value: Annotated[str, Meta(max_length=MAX_FILTER_TEXT)] | float | None = None


class FilterGroupBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Statements of which all must hold, or one."""

    logic: Literal["and", "or"]
    rules: Annotated[list[FilterRuleBody], Meta(min_length=1, max_length=MAX_FILTER_RULES)]


class FilterRulesBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which generations are sent: those that every group lets through."""

    groups: Annotated[list[FilterGroupBody], Meta(max_length=MAX_FILTER_GROUPS)]
    enabled: bool = True


class DestinationFieldsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set when a destination is made and later."""

    enabled: bool | UnsetType = UNSET
    privacy_mode: (
        Annotated[bool, Meta(description="Whether prompts and answers are left out; true until false is said.")]
        | UnsetType
    ) = UNSET
    sampling_rate: Rate | UnsetType = UNSET
    api_key_hashes: Hashes | UnsetType | None = UNSET
    filter_rules: FilterRulesBody | UnsetType | None = UNSET
    broadcast_generation_cost: bool | UnsetType = UNSET
    broadcast_generation_identity: bool | UnsetType = UNSET
    broadcast_generation_request_context: bool | UnsetType = UNSET
    broadcast_generation_cost_allocation: Literal[False] | UnsetType = UNSET
    regions: Regions | UnsetType | None = UNSET


class NewDestinationBody(DestinationFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A destination to make."""

    name: Name
    type: TypeName
    config: Config
    workspace_id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class DestinationChangeBody(DestinationFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a destination. A member that is absent stays as it is."""

    name: Name | UnsetType = UNSET
    config: Config | UnsetType = UNSET
