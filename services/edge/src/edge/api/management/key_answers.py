"""Types of the answers about API keys and credit."""

from __future__ import annotations

from edge.api.http.answer import Answer, Data, Page


class KeyFigures(Answer, frozen=True, kw_only=True):
    """What both views of a key have. Amounts are dollars."""

    label: str
    limit: float | None
    limit_remaining: float | None
    limit_reset: str | None
    include_byok_in_limit: bool
    logs_content: bool
    usage: float
    usage_daily: float
    usage_weekly: float
    usage_monthly: float
    byok_usage: float
    byok_usage_daily: float
    byok_usage_weekly: float
    byok_usage_monthly: float
    expires_at: str | None
    creator_user_id: str | None


class KeyRateLimit(Answer, frozen=True, kw_only=True):
    """A limit of the key's own. What is spent is in dollars; `model` is null where it holds for all together."""

    quantity: str
    interval: str | None
    amount: float
    model: str | None


class ApiKey(KeyFigures, frozen=True, kw_only=True):
    """A key as its managers see it. `hash` names it."""

    hash: str
    name: str
    disabled: bool
    created_at: str
    updated_at: str | None
    workspace_id: str
    last_used_at: str | None
    allowed_models: list[str] | None
    allowed_providers: list[str] | None
    ip_ranges: list[str] | None
    rate_limits: list[KeyRateLimit]


class RateLimit(Answer, frozen=True, kw_only=True):
    """A deprecated placeholder that older clients read."""

    requests: int
    interval: str
    note: str


class OwnKey(KeyFigures, frozen=True, kw_only=True):
    """A key as whoever uses it sees it."""

    is_free_tier: bool
    is_management_key: bool
    is_provisioning_key: bool
    organization_id: str
    workspace_id: str
    rate_limit: RateLimit
    rate_limits: list[KeyRateLimit]


class NewApiKey(Answer, frozen=True, kw_only=True):
    """A key that was made. `key` is the whole key: it is nowhere else."""

    data: ApiKey
    key: str


class Deleted(Answer, frozen=True, kw_only=True):
    """Something is gone."""

    deleted: bool


class CreditFigures(Answer, frozen=True, kw_only=True):
    """Dollars bought and dollars used."""

    total_credits: float
    total_usage: float


OwnKeyAnswer = Data[OwnKey]
ApiKeyAnswer = Data[ApiKey]
ApiKeyPage = Page[ApiKey]
CreditAnswer = Data[CreditFigures]
