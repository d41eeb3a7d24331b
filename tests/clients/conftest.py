"""Each client's program runs once, against the stack that the end-to-end tests have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clients_support.runs import Told, run
from e2e_support.stack import Stack


@pytest.fixture(scope="session")
def told(stack: Stack) -> Callable[[str], Told]:
    """Gives what a client's program told."""
    runs: dict[str, Told] = {}

    def of(client: str) -> Told:
        if client not in runs:
            runs[client] = run(client, stack)
        return runs[client]

    return of
