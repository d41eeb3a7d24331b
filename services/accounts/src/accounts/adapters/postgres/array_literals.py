"""Columns of a batch as PostgreSQL's own text for arrays (`{1,2,3}`).

Settlement hands over some thirty values an event. asyncpg encodes an array element by element and asks of each what it is,
which costs more than everything else that settlement does; the text is joined at a third of that, and PostgreSQL reads it.
Each is for a parameter written as `CAST(CAST(:name AS text) AS bigint[])`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

_REMEMBERED: Final = 65_536  # words and ids that come again and again: models, providers, accounts, organisations, keys


def numbers(values: Iterable[int]) -> str:
    """Integers."""
    return f"{{{','.join(map(str, values))}}}"


def flags(values: Iterable[bool]) -> str:
    """Booleans."""
    return f"{{{','.join(['t' if value else 'f' for value in values])}}}"


def moments(values: Iterable[datetime | None]) -> str:
    """Aware instants, to the microsecond."""
    return f"{{{','.join(['NULL' if value is None else value.isoformat() for value in values])}}}"


def names(values: Iterable[UUID]) -> str:
    """UUIDs of which there are far fewer than rows."""
    return f"{{{','.join(map(_name, values))}}}"


def texts(values: Iterable[str]) -> str:
    """Texts of any characters but NUL, which PostgreSQL does not store."""
    return f"{{{','.join(map(_quoted, values))}}}"


@lru_cache(maxsize=_REMEMBERED)
def _name(value: UUID) -> str:
    return str(value)


@lru_cache(maxsize=_REMEMBERED)
def _quoted(text: str) -> str:
    """An element between quotation marks means itself, whatever is in it, once these two are escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
