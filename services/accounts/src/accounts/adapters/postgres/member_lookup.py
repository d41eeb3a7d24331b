"""Whether people that a request names are members of the organisation."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.domain.errors import InvalidFieldError

# Shared, so that nobody leaves before what names them is written down. By their text, because that is what is kept of them and compared:
# an id that is written in another way names nobody.
_MEMBERS = text(
    """
    SELECT CAST(user_id AS text) FROM members
    WHERE org_id = :org_id AND CAST(user_id AS text) = ANY(CAST(:user_ids AS text[])) FOR SHARE
    """
)


async def check_members(connection: AsyncConnection, org_id: UUID, field: str, user_ids: Collection[str]) -> None:
    """Establish that an organisation has these members; that of another one is as little one of its own as nobody is.

    Args:
        connection: in a transaction.
        org_id: the organisation.
        field: that names them in the request.
        user_ids: their ids.

    Raises:
        InvalidFieldError: somebody is no member.
    """
    if not user_ids:
        return
    values = {"org_id": org_id, "user_ids": list(user_ids)}
    found = set((await connection.execute(_MEMBERS, values)).scalars())
    if not found.issuperset(user_ids):
        raise InvalidFieldError(field, "must name members of the organisation")
