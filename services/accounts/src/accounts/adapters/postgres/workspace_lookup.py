"""Whether a workspace is an organisation's."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.domain.errors import InvalidFieldError

_OWN = text(
    """
    SELECT EXISTS (
        SELECT FROM workspaces WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL
    )
    """
)
_ALL = text("SELECT workspace_id FROM workspaces WHERE org_id = :org_id AND deleted_at IS NULL")
_HAS_ORG = text("SELECT EXISTS (SELECT FROM orgs WHERE org_id = :org_id)")


async def check_workspace(connection: AsyncConnection, org_id: UUID, workspace_id: UUID) -> None:
    """Check that there is such a workspace; the default one, which has the id of its organisation, always is.

    Raises:
        InvalidFieldError: there is none. A request names it among others, so it is told which of its members is wrong.
    """
    if workspace_id == org_id:
        return
    values = {"org_id": org_id, "workspace_id": workspace_id}
    if not (await connection.execute(_OWN, values)).scalar_one():
        raise InvalidFieldError("workspace_id", "names no workspace of the organisation")


async def workspaces_of(connection: AsyncConnection, org_id: UUID) -> list[UUID]:
    """Return the workspaces of an organisation, the default one included; none of one that does not exist."""
    if not (await connection.execute(_HAS_ORG, {"org_id": org_id})).scalar_one():
        return []
    found = set((await connection.execute(_ALL, {"org_id": org_id})).scalars())
    return [org_id, *sorted(found - {org_id})]
