"""PostgreSQL reads the texts of arrays as the values that they were made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import asyncpg

from accounts.adapters.postgres.array_literals import flags, moments, names, numbers, texts


async def test_values_of_every_kind_come_back_as_they_were(sql: asyncpg.Connection) -> None:
    words = ["", "a/model", "NULL", "{x,y}", 'say "so"', "back\\slash", " edges ", "tab\tand\nline", "雨, 😀", "'; --"]
    amounts = [0, -1, 2**63 - 1, -(2**63)]
    instants = [
        datetime(2026, 11, 24, 12, 0, 0, 1, tzinfo=UTC),
        None,
        datetime(2020, 2, 29, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
    ]
    ids = [uuid4(), UUID(int=0)]
    assert await sql.fetchval("SELECT CAST(CAST($1 AS text) AS text[])", texts(words)) == words
    assert await sql.fetchval("SELECT CAST(CAST($1 AS text) AS bigint[])", numbers(amounts)) == amounts
    assert await sql.fetchval("SELECT CAST(CAST($1 AS text) AS timestamptz[])", moments(instants)) == instants
    assert await sql.fetchval("SELECT CAST(CAST($1 AS text) AS boolean[])", flags([True, False])) == [True, False]
    assert await sql.fetchval("SELECT CAST(CAST($1 AS text) AS uuid[])", names(ids)) == ids


async def test_no_values_are_an_empty_array(sql: asyncpg.Connection) -> None:
    for literal in (texts([]), numbers([]), moments([]), flags([]), names([])):
        assert await sql.fetchval("SELECT cardinality(CAST(CAST($1 AS text) AS text[]))", literal) == 0
