"""`/auth/keys`: an application gets a key of its user's, by OAuth with PKCE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from edge.api.http.answer import Answer, Data
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route
from edge.api.http.timestamps import timestamp_json
from edge.api.management.members import read_body
from edge.api.organization.calls import Calls
from edge.api.organization.code_requests import CHALLENGE_METHODS, code_request
from edge.api.organization.requests import AuthCodeBody, ExchangeBody
from edge.session_tokens import SessionTokens
from turnpike.accounts.v1 import session_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_APP_ID: Final = 0


class AuthCode(Answer, frozen=True, kw_only=True):
    """A code. `id` is what is exchanged; applications are not registered here, so `app_id` is always 0."""

    id: str
    app_id: int
    created_at: str


class ExchangedKey(Answer, frozen=True, kw_only=True):
    """A key. `key` is nowhere else."""

    key: str
    user_id: str | None


_CREATE: Final = Operation(
    id="createAuthKeysCode",
    tag="OAuth",
    summary="Make a code that an application exchanges for a key",
    body=AuthCodeBody,
    answer=Data[AuthCode],
    errors=(404, 409),
)
_EXCHANGE: Final = Operation(
    id="exchangeAuthCodeForAPIKey",
    tag="OAuth",
    summary="Exchange a code for a key",
    body=ExchangeBody,
    answer=ExchangedKey,
    errors=(403, 404, 409),
)


class AuthCodes:
    """Serves codes and their exchange."""

    def __init__(self, calls: Calls, bodies: JsonBodies, tokens: SessionTokens) -> None:
        """Make the handler.

        Args:
            calls: asks accounts.
            bodies: reads requests.
            tokens: makes digests.
        """
        self._calls = calls
        self._bodies = bodies
        self._tokens = tokens

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("POST", "/auth/keys/code", Access.AUTHORIZE, self.create, _CREATE),
            # The code is what the caller has; nobody is signed in.
            Route("POST", "/auth/keys", Access.ANYBODY, self.exchange, _EXCHANGE),
        )

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """Make a code for the caller's organisation, and in a session for its user."""
        body = read_body(await self._bodies.read(exchange.request), AuthCodeBody)
        request = code_request(body, exchange.principal)
        made = await self._calls(exchange, "SessionService/CreateAuthCode", request, messages.CreateAuthCodeResponse)
        code = AuthCode(id=made.code, app_id=_APP_ID, created_at=timestamp_json(made.created_at))
        return exchange.json(_encode(Data(data=code)))

    async def exchange(self, exchange: Exchange) -> web.StreamResponse:
        """Exchange a code for a key."""
        body = read_body(await self._bodies.read(exchange.request), ExchangeBody)
        code = body.required_text("code", most=200)
        request = messages.ExchangeAuthCodeRequest(
            code_verifier=body.text("code_verifier", most=200) or "",
            code_challenge_method=body.choice("code_challenge_method", CHALLENGE_METHODS) or "",
        )

        async def exchanged(digest: str) -> messages.ExchangeAuthCodeResponse:
            request.code_digest = digest
            return await self._calls(
                exchange, "SessionService/ExchangeAuthCode", request, messages.ExchangeAuthCodeResponse
            )

        made = await self._tokens.known_as(code, exchanged)
        return exchange.json(_encode(ExchangedKey(key=made.secret, user_id=made.user_id or None)))
