"""One stack for all end-to-end tests: they check the running system, and a crash must not need a fresh one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from e2e_support.books import Books
from e2e_support.collector import Collector, collecting
from e2e_support.stack import Stack, running_stack


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    state_dir: Path = tmp_path_factory.mktemp("stack") / "state"
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    with running_stack(state_dir, "--probe-interval", "1s", environment=environment) as running:
        yield running


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=stack.base_url, api_key=stack.api_key, max_retries=0, timeout=60) as client:
        yield client


@pytest_asyncio.fixture
async def http(stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {stack.api_key}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=60),
    ) as session:
        yield session


@pytest_asyncio.fixture
async def books(stack: Stack) -> AsyncIterator[Books]:
    headers = {"Authorization": f"Bearer {stack.run['management_key']}"}
    # A pool, because tests stop the server meanwhile: it replaces the connections that this breaks.
    async with (
        asyncpg.create_pool(stack.run["postgres_dsn"], min_size=0, max_size=2) as database,
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as management,
    ):
        yield Books(stack, database, management)
