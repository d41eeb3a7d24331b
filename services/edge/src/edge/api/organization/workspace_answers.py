"""Types of the answers about workspaces, in OpenRouter's shape."""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID, uuid5

import msgspec

from contracts import money
from edge.api.http.answer import Answer, Page
from edge.api.http.timestamps import timestamp_json
from turnpike.accounts.v1 import workspace_service_pb2 as messages

INTERVALS: Final[dict[str, messages.BudgetInterval.ValueType]] = {
    "daily": messages.BUDGET_INTERVAL_DAILY,
    "weekly": messages.BUDGET_INTERVAL_WEEKLY,
    "monthly": messages.BUDGET_INTERVAL_MONTHLY,
    "lifetime": messages.BUDGET_INTERVAL_LIFETIME,
}
_WORDS: Final = {number: word for word, number in INTERVALS.items() if word != "lifetime"}
_DEFAULT_GUARDRAIL: Final = "guardrail/default"


class Workspace(Answer, frozen=True, kw_only=True):
    """A workspace."""

    id: str
    name: str
    slug: str
    description: str | None
    default_guardrail_id: str
    default_text_model: str | None
    default_image_model: str | None
    default_provider_sort: str | None
    include_byok_in_budgets: bool
    io_logging_api_key_ids: list[int] | None
    io_logging_sampling_rate: float
    is_data_discount_logging_enabled: bool
    is_observability_broadcast_enabled: bool
    is_observability_io_logging_enabled: bool
    created_at: str
    created_by: str | None
    updated_at: str | None


class WorkspaceBudget(Answer, frozen=True, kw_only=True):
    """What the keys of a workspace may spend together. `reset_interval` null is a budget for good."""

    id: str
    workspace_id: str
    limit_usd: float
    reset_interval: Literal["daily", "weekly", "monthly"] | None
    created_at: str
    updated_at: str


class BudgetAnswer(Answer, frozen=True, kw_only=True):
    """A budget, and whether customers' own provider keys count towards all of its workspace."""

    data: WorkspaceBudget
    include_byok_in_budgets: bool


class BudgetsAnswer(Answer, frozen=True, kw_only=True):
    """The budgets of a workspace, and whether customers' own provider keys count towards them."""

    data: list[WorkspaceBudget]
    include_byok_in_budgets: bool


class WorkspaceMember(Answer, frozen=True, kw_only=True):
    """A member of a workspace."""

    id: str
    workspace_id: str
    user_id: str
    role: Literal["admin", "member"]
    created_at: str


class AddedMembers(Answer, frozen=True, kw_only=True):
    """Who became a member of a workspace."""

    added_count: int
    data: list[WorkspaceMember]


class RemovedMembers(Answer, frozen=True, kw_only=True):
    """How many members are in a workspace no more."""

    removed_count: int


def workspace_of(workspace: messages.Workspace) -> Workspace:
    """Describe a workspace."""
    fields = workspace.fields
    keys = fields.io_logging_api_key_ids
    return Workspace(
        id=workspace.workspace_id,
        name=fields.name,
        slug=fields.slug,
        description=fields.description or None,
        default_guardrail_id=str(uuid5(UUID(workspace.workspace_id), _DEFAULT_GUARDRAIL)),
        default_text_model=fields.default_text_model or None,
        default_image_model=fields.default_image_model or None,
        default_provider_sort=fields.default_provider_sort or None,
        include_byok_in_budgets=workspace.include_byok_in_budgets,
        io_logging_api_key_ids=None if keys.all else list(keys.ids),
        io_logging_sampling_rate=_number(fields.io_logging_sampling_rate),
        is_data_discount_logging_enabled=fields.is_data_discount_logging_enabled,
        is_observability_broadcast_enabled=fields.is_observability_broadcast_enabled,
        is_observability_io_logging_enabled=fields.is_observability_io_logging_enabled,
        created_at=timestamp_json(workspace.created_at),
        created_by=workspace.created_by or None,
        updated_at=timestamp_json(workspace.updated_at) if workspace.HasField("updated_at") else None,
    )


def budget_of(budget: messages.Budget, workspace_id: str) -> WorkspaceBudget:
    """Describe a budget."""
    return WorkspaceBudget(
        id=budget.budget_id,
        workspace_id=workspace_id,
        limit_usd=_number(money.usd_text(budget.limit_nano_usd)),
        reset_interval=_WORDS.get(budget.interval),  # type: ignore[arg-type]  # its values are those of the type
        created_at=timestamp_json(budget.created_at),
        updated_at=timestamp_json(budget.updated_at),
    )


def budget_answer(workspace: messages.Workspace, interval: int) -> BudgetAnswer | None:
    """Describe the budget of an interval; None when there is none."""
    for budget in workspace.budgets:
        if budget.interval == interval:
            return BudgetAnswer(
                data=budget_of(budget, workspace.workspace_id),
                include_byok_in_budgets=workspace.include_byok_in_budgets,
            )
    return None


def workspace_member_of(member: messages.WorkspaceMember, workspace_id: str) -> WorkspaceMember:
    """Describe a member of a workspace."""
    return WorkspaceMember(
        id=member.membership_id,
        workspace_id=workspace_id,
        user_id=member.user_id,
        role="admin" if member.is_admin else "member",
        created_at=timestamp_json(member.created_at),
    )


def members_page(listed: messages.ListWorkspaceMembersResponse) -> Page[WorkspaceMember]:
    """Describe a part of the members of a workspace."""
    members = [workspace_member_of(each, listed.workspace_id) for each in listed.members]
    return Page(data=members, total_count=listed.total_count)


def _number(text: str) -> float:
    """An exact decimal number: as text where it is written, and of type float where it is described."""
    return msgspec.Raw(text.encode())  # type: ignore[return-value]  # written as it is
