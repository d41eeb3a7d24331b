"""Types of the bodies that make and change guardrails."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from contracts.guardrails import FilterAction
from edge.api.management.key_bodies import Dollars, Interval, Names, RateLimitBody, Text

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
Description = Annotated[str, Meta(max_length=1_000, pattern=r"\S")]
Ignored = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=10_000)]
BuiltinSlug = Literal[
    "email", "phone", "ssn", "credit-card", "ip-address", "person-name", "address", "regex-prompt-injection"
]


class ContentFilterBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A regular expression, and what happens where it is found."""

    pattern: Text
    action: FilterAction
    label: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")] | None = None


class BuiltinFilterBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A filter that is there already, and what happens where it finds something."""

    slug: BuiltinSlug
    action: FilterAction
    label: str | None = None
    scan_scope: Literal["all_messages", "user_only"] | None = None


class GuardrailFieldsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set when a guardrail is made and later. Null says nothing of it any more."""

    description: Description | None = None
    limit_usd: Dollars | None = None
    reset_interval: Interval | None = None
    include_byok_in_budgets: bool | None = None
    allowed_models: Names | None = None
    allowed_providers: Names | None = None
    ignored_models: Ignored | None = None
    ignored_providers: Ignored | None = None
    enforce_zdr: Annotated[bool, Meta(description="Deprecated: for the groups that are not named.")] | None = None
    enforce_zdr_anthropic: bool | None = None
    enforce_zdr_openai: bool | None = None
    enforce_zdr_google: bool | None = None
    enforce_zdr_xai: bool | None = None
    enforce_zdr_other: bool | None = None
    enable_paid_model_training: bool | None = None
    enable_free_model_training: bool | None = None
    enable_free_model_publication: bool | None = None
    content_filters: Annotated[list[ContentFilterBody], Meta(max_length=10_000)] | None = None
    content_filter_builtins: Annotated[list[BuiltinFilterBody], Meta(max_length=10_000)] | None = None
    rate_limits: Annotated[list[RateLimitBody], Meta(max_length=10_000)] | None = None


class NewGuardrailBody(GuardrailFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A guardrail to make."""

    name: Name
    workspace_id: Text | None = None


class GuardrailChangeBody(GuardrailFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a guardrail. A member that is absent stays as it is."""

    name: Name | None = None
