"""Each port twice: the double itself, and the real gRPC client of a server that the same double answers behind."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from edge.adapters.accounts_client import GrpcKeyLookup, GrpcKeyRegistry
from edge.adapters.metering_client import GrpcGenerationRecords
from edge.adapters.router_client import GrpcCompletionRouter
from edge.ports import CompletionRouter, GenerationRecords, KeyLookup, KeyRegistry
from edge.testing.accounts import MemoryAccounts
from edge.testing.doubles import MemoryGenerationRecords
from edge.testing.router import ScriptedRouter
from edge.testing.servicers import register_accounts, register_records, register_router
from servicekit.clock import SystemClock
from servicekit.testing import run_servicer

TIMEOUT = timedelta(seconds=20)


@pytest.fixture(params=["double", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which implementation is tested."""
    return str(request.param)


@pytest.fixture
def accounts() -> MemoryAccounts:
    """What the implementations of the two ports to accounts must show."""
    return MemoryAccounts()


@pytest.fixture
async def lookup(kind: str, accounts: MemoryAccounts, opened: AsyncExitStack) -> KeyLookup:
    """An implementation."""
    if kind == "double":
        return accounts
    channel = await opened.enter_async_context(run_servicer(lambda server: register_accounts(server, accounts)))
    return GrpcKeyLookup(channel, TIMEOUT, SystemClock(), 4)


@pytest.fixture
async def registry(kind: str, accounts: MemoryAccounts, opened: AsyncExitStack) -> KeyRegistry:
    """An implementation."""
    if kind == "double":
        return accounts
    channel = await opened.enter_async_context(run_servicer(lambda server: register_accounts(server, accounts)))
    return GrpcKeyRegistry(channel, TIMEOUT)


@pytest.fixture
def stored() -> MemoryGenerationRecords:
    """What the implementations of the port to metering must show."""
    return MemoryGenerationRecords()


@pytest.fixture
async def records(kind: str, stored: MemoryGenerationRecords, opened: AsyncExitStack) -> GenerationRecords:
    """An implementation."""
    if kind == "double":
        return stored
    channel = await opened.enter_async_context(run_servicer(lambda server: register_records(server, stored)))
    return GrpcGenerationRecords(channel, TIMEOUT)


@pytest.fixture
def scripted_router() -> ScriptedRouter:
    """What the implementations of the port to the router must show."""
    return ScriptedRouter()


@pytest.fixture
async def router(kind: str, scripted_router: ScriptedRouter, opened: AsyncExitStack) -> CompletionRouter:
    """An implementation."""
    if kind == "double":
        return scripted_router
    channel = await opened.enter_async_context(run_servicer(lambda server: register_router(server, scripted_router)))
    return GrpcCompletionRouter(channel, deadline=TIMEOUT, list_timeout=TIMEOUT)
