"""S40: what PostgreSQL is asked for is bounded in time and in length."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from accounts.adapters.postgres.database import Database
from accounts.domain.accounts import MAX_PAGE, checked_page
from accounts.domain.errors import InvalidFieldError


async def test_s40_no_statement_runs_without_an_end(database: Database) -> None:
    async with database.installation_transaction() as connection:
        limit = (await connection.execute(text("SHOW statement_timeout"))).scalar_one()
    assert limit not in ("0", "0ms")


@pytest.mark.parametrize("limit", [MAX_PAGE + 1, 2**31 - 1, -1])
def test_s40_no_page_is_longer_than_the_longest(limit: int) -> None:
    with pytest.raises(InvalidFieldError, match="limit"):
        checked_page(0, limit)
    assert checked_page(0, 0) == (0, MAX_PAGE)
