"""Workspaces and their budgets as values, and the rules of their fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final
from uuid import UUID

from accounts.domain.accounts import MAX_AMOUNT_NANO, checked_name, checked_text
from accounts.domain.budgets import BudgetInterval
from accounts.domain.errors import InvalidFieldError

MAX_WORKSPACES: Final = 100
DEFAULT_NAME: Final = "Default"
DEFAULT_SLUG: Final = "default"
_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_SLUG: Final = 50
_MAX_DESCRIPTION: Final = 500
_MAX_MODEL: Final = 200
_SORTS: Final = frozenset({"price", "throughput", "latency", "exacto"})
_LEAST_SAMPLE: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Budget:
    """What the keys of a workspace may spend together in an interval, in nano-dollars."""

    budget_id: UUID
    interval: BudgetInterval
    limit: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WorkspaceFields:
    """What can be set of a workspace; None is none, and 1 as a sampling rate is everything."""

    name: str
    slug: str
    description: str | None = None
    default_text_model: str | None = None
    default_image_model: str | None = None
    default_provider_sort: str | None = None
    io_logging_sampling_rate: str = "1"
    is_data_discount_logging_enabled: bool = False
    is_observability_broadcast_enabled: bool = False
    is_observability_io_logging_enabled: bool = False
    io_logging_api_key_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace. The default one has the id of its organisation, and everybody is in it."""

    workspace_id: UUID
    org_id: UUID
    fields: WorkspaceFields
    include_byok_in_budgets: bool
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime | None
    budgets: tuple[Budget, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether it is the one that everybody is in."""
        return self.workspace_id == self.org_id


@dataclass(frozen=True, slots=True)
class WorkspaceMember:
    """A member of the organisation in a workspace."""

    membership_id: UUID
    user_id: UUID
    is_admin: bool
    created_at: datetime


def checked_fields(fields: WorkspaceFields) -> WorkspaceFields:
    """Return the fields of a workspace, empty texts as none.

    Raises:
        InvalidFieldError: one breaks its rule.
    """
    if fields.default_provider_sort and fields.default_provider_sort not in _SORTS:
        raise InvalidFieldError("default_provider_sort", f"must be one of {', '.join(sorted(_SORTS))}")
    if _SLUG.fullmatch(fields.slug) is None or len(fields.slug) > _MAX_SLUG:
        raise InvalidFieldError(
            "slug", f"must be lower-case letters and digits between single hyphens, {_MAX_SLUG} characters at most"
        )
    return replace(
        fields,
        name=checked_name(fields.name),
        description=_optional("description", fields.description, _MAX_DESCRIPTION),
        default_text_model=_optional("default_text_model", fields.default_text_model, _MAX_MODEL),
        default_image_model=_optional("default_image_model", fields.default_image_model, _MAX_MODEL),
        default_provider_sort=fields.default_provider_sort or None,
        io_logging_sampling_rate=_checked_rate(fields.io_logging_sampling_rate),
    )


def checked_budgets(limits: Mapping[BudgetInterval, int]) -> None:
    """Check that a broader interval has a higher budget.

    Raises:
        InvalidFieldError: one is not more than that of a narrower interval, or out of range.
    """
    narrower: BudgetInterval | None = None
    for interval in sorted(limits):
        if not 0 < limits[interval] <= MAX_AMOUNT_NANO:
            raise InvalidFieldError("limit_usd", "must be more than 0 and at most 1000000 dollars")
        if narrower is not None and limits[interval] <= limits[narrower]:
            raise InvalidFieldError(
                "limit_usd",
                f"must rise with the interval: the {interval.name.lower()} budget must be more than the"
                f" {narrower.name.lower()} one",
            )
        narrower = interval


def _optional(field: str, text: str | None, most: int) -> str | None:
    return checked_text(field, text, 0, most) or None if text is not None else None


def _checked_rate(text: str) -> str:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        raise InvalidFieldError("io_logging_sampling_rate", "must be a number") from None
    if not rate.is_finite() or not _LEAST_SAMPLE <= rate <= 1:
        raise InvalidFieldError("io_logging_sampling_rate", "must be between 0.0001 and 1")
    return f"{rate.normalize():f}"
