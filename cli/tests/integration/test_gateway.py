"""What the command makes of answers that no Turnpike gives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from turnpike_cli.connection import Connection
from turnpike_cli.errors import NoAnswerError, RefusedError
from turnpike_cli.gateway import Gateway

Respond = Callable[[web.Request], Awaitable[web.Response]]

KEY = "tp_mgmt_for_this_test"


@asynccontextmanager
async def gateway_to(respond: Respond) -> AsyncIterator[Gateway]:
    """A gateway to a server that answers everything in one way."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    async with TestServer(app) as server:
        async with Gateway.open(Connection(str(server.make_url("/api/v1")), KEY)) as gateway:
            yield gateway


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '"text"', "{"])
async def test_answer_that_is_no_object_asks_about_the_base_url(body: str) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.Response(text=body)

    async with gateway_to(respond) as gateway:
        with pytest.raises(
            NoAnswerError, match=r"answers with status 200 and no JSON object; is it Turnpike's base URL\?"
        ):
            await gateway.credits()


async def test_server_that_hangs_up_does_not_answer() -> None:
    async def respond(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with gateway_to(respond) as gateway:
        with pytest.raises(NoAnswerError, match="nothing answers at"):
            await gateway.credits()


@pytest.mark.parametrize(
    ("status", "document", "message"),
    [
        (403, {"error": {"code": 403, "message": "Management key required"}}, "403: Management key required"),
        (503, {"error": {"message": ""}}, "503: no reason is given"),
        (500, {"error": "text"}, "500: no reason is given"),
        (404, {}, "404: no reason is given"),
    ],
)
async def test_refusal_is_repeated_with_its_status(status: int, document: object, message: str) -> None:
    async def respond(_: web.Request) -> web.Response:
        return web.json_response(document, status=status)

    async with gateway_to(respond) as gateway:
        with pytest.raises(RefusedError) as raised:
            await gateway.credits()
    assert str(raised.value) == f"refused with status {message}"


async def test_amounts_are_exact_both_ways() -> None:
    seen: list[str] = []

    async def respond(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        seen.append(await request.text())
        text = '{"data": {"total_credits": 9007199.254740993, "total_usage": 0.000000001}, "key": "k"}'
        return web.Response(text=text, content_type="application/json")

    async with gateway_to(respond) as gateway:
        credits = await gateway.credits()
        await gateway.create_key('na"me', Decimal("0.000000001"), None)
    assert credits["total_credits"] == Decimal("9007199.254740993")
    assert credits["total_usage"] == Decimal("0.000000001")
    assert '"limit": 0.000000001' in seen[1]
    assert json.loads(seen[1])["name"] == 'na"me'


async def test_keys_are_read_page_by_page() -> None:
    every = [{"hash": str(number)} for number in range(230)]
    offsets: list[int] = []

    async def respond(request: web.Request) -> web.Response:
        offset = int(request.query["offset"])
        offsets.append(offset)
        assert request.query["include_disabled"] == "true"
        return web.json_response({"data": every[offset : offset + 100], "total_count": len(every)})

    async with gateway_to(respond) as gateway:
        assert await gateway.keys(include_disabled=True) == every
    assert offsets == [0, 100, 200]
