"""One suite for every EndpointCaller: the scripted one, and the real one over sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from aiohttp import web

from contracts.catalog import Endpoint, parse_catalog
from dialects.upstream import UpstreamRequest
from health_prober.adapters.http_caller import HttpEndpointCaller
from health_prober.domain.errors import ProbeTimeoutError, UnreachableError
from health_prober.domain.ports import EndpointCaller
from health_prober.testing import ScriptedCaller
from servicekit.clock import SystemClock

CATALOG = """\
providers:
  - {{slug: acme, name: Acme, base_url: "{url}"}}
models:
  - id: maker/thing
    name: Thing
    description: A thing.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    endpoints:
      - {{provider: acme, upstream_model: thing, context_length: 2048, price: {{prompt: "0", completion: "0"}}}}
"""


def endpoint_at(url: str) -> Endpoint:
    return next(iter(parse_catalog([("catalog.yaml", CATALOG.format(url=url))]).endpoints.values()))


class Provider:
    """A provider on a real socket that does as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.stalled = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.path, dict(request.headers), body))
        match body:
            case b"answer":
                return web.Response(status=201, body=b"fine")
            case b"redirect":
                return web.Response(status=307, headers={"Location": "/elsewhere"})
            case b"much":
                return web.Response(body=b"x" * 10_000_000)
            case b"cut":
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b"x")
        if body != b"stall":
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError
        await self.stalled.wait()
        return web.Response()


def asking(body: bytes) -> UpstreamRequest:
    """A request in the dialect of the endpoint."""
    return UpstreamRequest("/chat/completions", body)


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    provider = Provider()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", provider.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    yield provider, f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    provider.stalled.set()
    await runner.cleanup()


@pytest.fixture(params=["scripted", "http"])
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[EndpointCaller]:
    async with AsyncExitStack() as stack:
        if request.param == "http":
            yield await stack.enter_async_context(
                HttpEndpointCaller.open(call_timeout=timedelta(seconds=0.5), concurrency=4, clock=SystemClock())
            )
        else:
            yield ScriptedCaller()


def tell(
    caller: EndpointCaller, endpoint: Endpoint, reply: tuple[int, bytes] | UnreachableError | ProbeTimeoutError
) -> None:
    """A double must be told what the real provider does by itself."""
    if isinstance(caller, ScriptedCaller):
        caller.script(endpoint.id, reply)


async def test_an_answer_is_returned_whatever_its_status(
    caller: EndpointCaller, provider: tuple[Provider, str]
) -> None:
    endpoint = endpoint_at(provider[1])
    tell(caller, endpoint, (201, b"fine"))
    assert await caller.call(endpoint, "key", asking(b"answer")) == (201, b"fine")


@pytest.mark.parametrize("body", [b"reset", b"cut"])
async def test_a_connection_that_breaks_is_unreachable(
    caller: EndpointCaller, provider: tuple[Provider, str], body: bytes
) -> None:
    endpoint = endpoint_at(provider[1])
    tell(caller, endpoint, UnreachableError())
    with pytest.raises(UnreachableError):
        await caller.call(endpoint, "key", asking(body))


async def test_nobody_there_is_unreachable(caller: EndpointCaller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    endpoint = endpoint_at(f"http://127.0.0.1:{port}")
    tell(caller, endpoint, UnreachableError())
    with pytest.raises(UnreachableError):
        await caller.call(endpoint, "key", asking(b"answer"))


async def test_no_answer_in_time_is_a_timeout(caller: EndpointCaller, provider: tuple[Provider, str]) -> None:
    endpoint = endpoint_at(provider[1])
    tell(caller, endpoint, ProbeTimeoutError())
    with pytest.raises(ProbeTimeoutError):
        await caller.call(endpoint, "key", asking(b"stall"))


async def test_over_http_the_key_goes_in_the_header_and_nowhere_else(provider: tuple[Provider, str]) -> None:
    endpoint = endpoint_at(provider[1])
    async with HttpEndpointCaller.open(call_timeout=timedelta(seconds=5), concurrency=4, clock=SystemClock()) as caller:
        await caller.call(endpoint, "key", asking(b"answer"))
        await caller.call(endpoint, "", asking(b"answer"))
    (path, headers, _), (_, without, _) = provider[0].requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer key"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in without


async def test_over_http_a_redirect_is_not_followed(provider: tuple[Provider, str]) -> None:
    endpoint = endpoint_at(provider[1])
    async with HttpEndpointCaller.open(call_timeout=timedelta(seconds=5), concurrency=4, clock=SystemClock()) as caller:
        status, _ = await caller.call(endpoint, "key", asking(b"redirect"))
    assert status == 307
    assert len(provider[0].requests) == 1


async def test_over_http_only_the_beginning_of_a_huge_answer_is_read(provider: tuple[Provider, str]) -> None:
    endpoint = endpoint_at(provider[1])
    async with HttpEndpointCaller.open(call_timeout=timedelta(seconds=5), concurrency=4, clock=SystemClock()) as caller:
        status, body = await caller.call(endpoint, "key", asking(b"much"))
    assert status == 200
    assert len(body) < 1_000_000
