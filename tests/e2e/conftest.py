"""What talks to the one stack: the tests check the running system, and a crash must not need a fresh one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import grpc
import pytest_asyncio
from openai import AsyncOpenAI

from e2e_support.books import Books
from e2e_support.stack import Stack
from e2e_support.tenants import Call, Tenant, calling, new_tenant


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


@pytest_asyncio.fixture
async def call(stack: Stack) -> AsyncIterator[Call]:
    async with calling(stack) as call:
        yield call


@pytest_asyncio.fixture
async def accounts(stack: Stack) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(stack.run["processes"]["accounts"]["grpc_target"]) as channel:
        yield channel


@pytest_asyncio.fixture
async def tenant(call: Call, accounts: grpc.aio.Channel) -> Tenant:
    return await new_tenant(call, accounts)
