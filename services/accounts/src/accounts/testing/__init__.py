"""For tests: usage events, the statements that hold of the books, and accounts as a process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from accounts.domain.ports import OutboxMessage

CREDIT: Final = 1_000_000_000
"""What a new customer is given, in nano-dollars."""

NewCustomer = Callable[..., Awaitable[tuple[UUID, UUID]]]
"""Makes an organisation with credit and one key: their ids."""


def serving_dsn(owner_dsn: str) -> str:
    """The address of the same database for the role that serves, which its first migration makes."""
    return "postgresql://turnpike_serving:of-tests-only@" + owner_dsn.rpartition("@")[2]


Drain = Callable[..., Awaitable[list[OutboxMessage]]]
"""Empties the outbox: what it had."""
