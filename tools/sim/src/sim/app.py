"""The simulated provider as a web application."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from sim.answer import CREATED
from sim.behaviour import Text
from sim.chat import Chat, refusal
from sim.operations import Operations

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Requests of a few megabytes are ordinary for long contexts.
_MAX_BODY = 32 * 1024 * 1024


def build_app(*, api_key: str = "", seed: int = 0) -> web.Application:
    """Wire the routes. With an `api_key`, everything but `/health` wants it as a bearer token."""
    chat, operations = Chat(seed), Operations(seed)
    wanted = f"Bearer {api_key}".encode()

    @web.middleware
    async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if api_key and request.path != "/health" and not hmac.compare_digest(given, wanted):
            return refusal(401, "simulated: wrong API key", "invalid_request_error", code="invalid_api_key")
        return await handler(request)

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "simulated": True})

    async def models(request: web.Request) -> web.Response:
        rows = [{"id": f"sim-{text}", "object": "model", "created": CREATED, "owned_by": "simulated"} for text in Text]
        return web.json_response({"object": "list", "data": rows})

    async def counts(request: web.Request) -> web.Response:
        return web.json_response(chat.counts() | operations.counts())

    app = web.Application(middlewares=[authorize], client_max_size=_MAX_BODY)
    app.router.add_get("/health", health)
    app.router.add_get("/counts", counts)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", chat.complete)
    app.router.add_post("/v1/embeddings", operations.embeddings)
    app.router.add_post("/v1/rerank", operations.rerank)
    app.router.add_post("/v1/audio/speech", operations.speech)
    app.router.add_post("/v1/audio/transcriptions", operations.transcriptions)
    app.router.add_post("/v1/images/generations", operations.images)
    return app
