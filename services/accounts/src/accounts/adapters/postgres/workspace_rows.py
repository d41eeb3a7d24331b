"""Rows of workspaces and budgets to values, and what was spent against budgets."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from accounts.domain.budgets import BudgetInterval, BudgetState
from accounts.domain.workspaces import Budget, Workspace, WorkspaceFields

WORKSPACE_COLUMNS: Final = """
    workspace_id, org_id, name, slug, description, default_text_model, default_image_model, default_provider_sort,
    io_logging_api_key_ids, io_logging_sampling_rate, is_data_discount_logging_enabled,
    is_observability_broadcast_enabled, is_observability_io_logging_enabled, include_byok_in_budgets, created_by,
    created_at, updated_at,
    (SELECT coalesce(json_agg(json_build_array(budget.budget_id, budget.interval, budget.limit_nano,
                extract(epoch FROM budget.created_at), extract(epoch FROM budget.updated_at)) ORDER BY budget.interval),
            '[]')::text
     FROM workspace_budgets AS budget WHERE budget.workspace_id = workspaces.workspace_id) AS budgets
"""

# What an organisation's workspaces may spend and have spent, as of today; goes with a row of `orgs`. With the organisation's own
# provider keys where the workspace says that it counts.
BUDGET_STATES: Final = """
    (SELECT coalesce(json_agg(json_build_array(budget.workspace_id, budget.interval, budget.limit_nano,
                CASE budget.interval WHEN 4 THEN workspace.spent_nano
                    + CASE WHEN workspace.include_byok_in_budgets THEN workspace.byok_spent_nano ELSE 0 END ELSE
                    (SELECT coalesce(sum(spend.nano + CASE WHEN workspace.include_byok_in_budgets THEN spend.byok_nano
                                                           ELSE 0 END), 0) FROM workspace_spend_daily AS spend
                     WHERE spend.workspace_id = budget.workspace_id AND spend.day <= (now() AT TIME ZONE 'UTC')::date
                       AND spend.day >= date_trunc(CASE budget.interval WHEN 1 THEN 'day' WHEN 2 THEN 'week' ELSE 'month' END,
                                                   now() AT TIME ZONE 'UTC')::date)
                END, (now() AT TIME ZONE 'UTC')::date) ORDER BY budget.workspace_id, budget.interval), '[]')::text
     FROM workspace_budgets AS budget JOIN workspaces AS workspace USING (workspace_id)
     WHERE budget.org_id = orgs.org_id) AS budget_states
"""


def workspace_from_row(row: Any) -> Workspace:
    """Read a row of WORKSPACE_COLUMNS."""
    keys = row.io_logging_api_key_ids
    return Workspace(
        workspace_id=row.workspace_id,
        org_id=row.org_id,
        fields=WorkspaceFields(
            name=row.name,
            slug=row.slug,
            description=row.description,
            default_text_model=row.default_text_model,
            default_image_model=row.default_image_model,
            default_provider_sort=row.default_provider_sort,
            io_logging_sampling_rate=row.io_logging_sampling_rate,
            is_data_discount_logging_enabled=row.is_data_discount_logging_enabled,
            is_observability_broadcast_enabled=row.is_observability_broadcast_enabled,
            is_observability_io_logging_enabled=row.is_observability_io_logging_enabled,
            io_logging_api_key_ids=None if keys is None else tuple(keys),
        ),
        include_byok_in_budgets=row.include_byok_in_budgets,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        budgets=tuple(
            Budget(UUID(budget_id), BudgetInterval(interval), limit, _instant(created), _instant(updated))
            for budget_id, interval, limit, created, updated in json.loads(row.budgets)
        ),
    )


def budget_states_from_json(document: str) -> tuple[BudgetState, ...]:
    """Read the column of BUDGET_STATES."""
    return tuple(
        BudgetState(UUID(workspace_id), BudgetInterval(interval), limit, int(spent), date.fromisoformat(day))
        for workspace_id, interval, limit, spent, day in json.loads(document)
    )


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
