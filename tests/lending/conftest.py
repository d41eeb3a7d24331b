"""One accounts for all tests of lending; each has an organisation of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lending_support.bank import Bank, bank
from servicekit.testing import kafka_broker


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lending(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bank]:
    """A running accounts."""
    with kafka_broker() as broker:
        async with bank(tmp_path_factory.mktemp("bank"), broker.bootstrap) as opened:
            yield opened
