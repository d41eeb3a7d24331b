"""Types of the bodies that make and change API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from contracts.rate_limits import LimitedQuantity

Text = Annotated[str, Meta(min_length=1, pattern=r"\S")]
Dollars = Annotated[float, Meta(ge=0, description="Dollars, with at most nine decimals.")]
Names = Annotated[
    list[Annotated[str, Meta(min_length=1)]],
    Meta(min_length=1, max_length=10_000, description="Null restricts nothing."),
]
Moment = Annotated[datetime, Meta(tz=True)]
Interval = Literal["daily", "weekly", "monthly"]


class RateLimitBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `amount` of a quantity in an interval; concurrency has no interval. What is spent is in dollars."""

    quantity: LimitedQuantity
    interval: Literal["minute", "day"] | None = None
    amount: Annotated[float, Meta(gt=0)]
    model: Annotated[str, Meta(min_length=1, max_length=300)] | None = None


class KeyFieldsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set when a key is made and later. Null is no limit and no restriction."""

    limit: Dollars | None = None
    limit_reset: Interval | None = None
    include_byok_in_limit: bool | None = None
    logs_content: bool | None = None
    allowed_models: Names | None = None
    allowed_providers: Names | None = None
    ip_ranges: Names | None = None
    rate_limits: Annotated[list[RateLimitBody], Meta(max_length=10_000)] | None = None


class NewKeyBody(KeyFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make."""

    name: Text
    expires_at: Moment | None = None
    creator_user_id: Text | None = None
    workspace_id: Text | None = None


class KeyChangeBody(KeyFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a key. A member that is absent stays as it is."""

    name: Text | None = None
    disabled: bool | None = None
