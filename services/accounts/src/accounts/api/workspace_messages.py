"""Workspaces on the wire."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from accounts.domain.workspaces import Budget, Workspace, WorkspaceFields, WorkspaceMember
from accounts.records import timestamp
from turnpike.accounts.v1 import workspace_service_pb2 as messages

_KEYS: Final = "io_logging_api_key_ids"
_NAMES: Final = tuple(field.name for field in fields(WorkspaceFields) if field.name != _KEYS)


def fields_from_proto(message: messages.WorkspaceFields) -> dict[str, Any]:
    """Read what a call sets; what it leaves alone is left out."""
    found: dict[str, Any] = {name: getattr(message, name) for name in _NAMES if message.HasField(name)}  # type: ignore[arg-type]  # names of the message
    if message.HasField(_KEYS):
        keys = message.io_logging_api_key_ids
        found[_KEYS] = None if keys.all else tuple(keys.ids)
    return found


def workspace_to_proto(workspace: Workspace) -> messages.Workspace:
    """Put a workspace on the wire; a field that is none stays unset."""
    values = workspace.fields
    keys = values.io_logging_api_key_ids
    return messages.Workspace(
        workspace_id=str(workspace.workspace_id),
        org_id=str(workspace.org_id),
        fields=messages.WorkspaceFields(
            **{name: getattr(values, name) for name in _NAMES},
            io_logging_api_key_ids=messages.IoLoggingKeys(all=keys is None, ids=keys or ()),
        ),
        include_byok_in_budgets=workspace.include_byok_in_budgets,
        created_by="" if workspace.created_by is None else str(workspace.created_by),
        created_at=timestamp(workspace.created_at),
        updated_at=timestamp(workspace.updated_at),
        budgets=[budget_to_proto(budget) for budget in workspace.budgets],
    )


def budget_to_proto(budget: Budget) -> messages.Budget:
    """Put a budget on the wire."""
    return messages.Budget(
        budget_id=str(budget.budget_id),
        interval=messages.BudgetInterval.ValueType(budget.interval),
        limit_nano_usd=budget.limit,
        created_at=timestamp(budget.created_at),
        updated_at=timestamp(budget.updated_at),
    )


def workspace_member_to_proto(member: WorkspaceMember) -> messages.WorkspaceMember:
    """Put a member of a workspace on the wire."""
    return messages.WorkspaceMember(
        membership_id=str(member.membership_id),
        user_id=str(member.user_id),
        is_admin=member.is_admin,
        created_at=timestamp(member.created_at),
    )
