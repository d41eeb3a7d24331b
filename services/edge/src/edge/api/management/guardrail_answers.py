"""Types of the answers about guardrails."""

from __future__ import annotations

from edge.api.http.answer import Answer, Data, Page
from edge.api.management.key_answers import KeyRateLimit


class FilterEntry(Answer, frozen=True, kw_only=True):
    """A custom filter."""

    pattern: str
    label: str | None
    action: str


class BuiltinEntry(Answer, frozen=True, kw_only=True):
    """A builtin filter. `label` is what takes the place of what it redacts."""

    slug: str
    action: str
    label: str
    scan_scope: str


class GuardrailRow(Answer, frozen=True, kw_only=True):
    """A guardrail. What is null is not ruled by it. `rate_limits` is Turnpike's own."""

    id: str
    name: str
    description: str | None
    workspace_id: str | None
    limit_usd: float | None
    reset_interval: str | None
    include_byok_in_budgets: bool
    allowed_models: list[str] | None
    ignored_models: list[str] | None
    allowed_providers: list[str] | None
    ignored_providers: list[str] | None
    enforce_zdr: bool | None
    enforce_zdr_anthropic: bool | None
    enforce_zdr_openai: bool | None
    enforce_zdr_google: bool | None
    enforce_zdr_xai: bool | None
    enforce_zdr_other: bool | None
    enable_paid_model_training: bool | None
    enable_free_model_training: bool | None
    enable_free_model_publication: bool | None
    content_filters: list[FilterEntry] | None
    content_filter_builtins: list[BuiltinEntry] | None
    rate_limits: list[KeyRateLimit]
    created_at: str
    updated_at: str | None


class KeyAssignment(Answer, frozen=True, kw_only=True):
    """That a guardrail binds a key."""

    id: str
    guardrail_id: str
    key_hash: str
    key_name: str
    key_label: str
    assigned_by: str | None
    created_at: str


class MemberAssignment(Answer, frozen=True, kw_only=True):
    """That a guardrail binds a member."""

    id: str
    guardrail_id: str
    user_id: str
    organization_id: str
    assigned_by: str | None
    created_at: str


class AssignedCount(Answer, frozen=True, kw_only=True):
    """How many were bound."""

    assigned_count: int


class UnassignedCount(Answer, frozen=True, kw_only=True):
    """How many were freed."""

    unassigned_count: int


GuardrailAnswer = Data[GuardrailRow]
GuardrailPage = Page[GuardrailRow]
KeyAssignmentPage = Page[KeyAssignment]
MemberAssignmentPage = Page[MemberAssignment]
