"""`/auth/keys`: an application gets a key of its user's, by OAuth with PKCE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from aiohttp import web

from edge.api.http.answer import Answer, Data
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route
from edge.api.http.timestamps import timestamp_json
from edge.api.management.key_requests import INTERVALS
from edge.api.management.members import JsonMembers, read_body
from edge.api.organization.calls import Calls, org_id
from edge.api.organization.requests import AuthCodeBody, ExchangeBody
from edge.domain.errors import ForbiddenError
from edge.domain.principal import Key, KeyAccess, Principal
from edge.session_tokens import SessionTokens
from turnpike.accounts.v1 import records_pb2
from turnpike.accounts.v1 import session_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_METHODS: Final = {"S256": "S256", "plain": "plain"}
_APP_ID: Final = 0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_URL: Final = 2_000


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
        _check_callback(body)
        principal = exchange.principal
        if principal.member is None:
            _check_unrestricted(principal.key)
        own = principal.key.workspace_id or principal.org.org_id
        workspace_id = body.text("workspace_id", most=100) or own
        if principal.member is None and workspace_id != own:
            raise body.wrong("workspace_id", "is not the workspace of this key")
        request = messages.CreateAuthCodeRequest(
            org_id=org_id(exchange),
            workspace_id=workspace_id,
            user_id=_user_id(principal),
            code_challenge=body.text("code_challenge", most=128) or "",
            code_challenge_method=body.choice("code_challenge_method", _METHODS) or "",
            key_label=body.text("key_label", most=100) or "",
            limit_nano_usd=body.dollars("limit"),
            limit_reset=records_pb2.SpendInterval.ValueType(body.choice("usage_limit_type", INTERVALS) or 0),
        )
        expires_at = body.instant("expires_at")
        if expires_at is not None:
            request.key_expires_at.FromDatetime(expires_at)
        made = await self._calls(exchange, "SessionService/CreateAuthCode", request, messages.CreateAuthCodeResponse)
        code = AuthCode(id=made.code, app_id=_APP_ID, created_at=timestamp_json(made.created_at))
        return exchange.json(_encode(Data(data=code)))

    async def exchange(self, exchange: Exchange) -> web.StreamResponse:
        """Exchange a code for a key."""
        body = read_body(await self._bodies.read(exchange.request), ExchangeBody)
        request = messages.ExchangeAuthCodeRequest(
            code_digest=self._tokens.digest(body.required_text("code", most=200)),
            code_verifier=body.text("code_verifier", most=200) or "",
            code_challenge_method=body.choice("code_challenge_method", _METHODS) or "",
        )
        made = await self._calls(
            exchange, "SessionService/ExchangeAuthCode", request, messages.ExchangeAuthCodeResponse
        )
        return exchange.json(_encode(ExchangedKey(key=made.secret, user_id=made.user_id or None)))


def _check_unrestricted(key: Key) -> None:
    """Check that the key may make another one, which would not be bound by what binds it.

    Raises:
        ForbiddenError: something does.
    """
    if key.limit is not None or key.expires_at_ms is not None or key.rate_limits or key.access != KeyAccess():
        raise ForbiddenError("A key that is limited or restricted cannot make other keys")


def _user_id(principal: Principal) -> str:
    """Whose key it will be; empty when that is not known."""
    if principal.member is not None:
        return principal.member.user_id
    try:
        return str(UUID(principal.key.creator_user_id))
    except ValueError:
        return ""


def _check_callback(body: JsonMembers) -> None:
    """Check where the code will be sent: HTTPS, or this machine, at any port. Without an address it is shown to the user."""
    text = body.text("callback_url", most=_MAX_URL)
    if text is None:
        if body.text("code_challenge") is None:
            raise body.wrong("code_challenge", "required without a callback_url")
        return
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        raise body.wrong("callback_url", "expected a URL") from None
    if not host or url.username is not None or url.fragment:
        raise body.wrong("callback_url", "expected a URL without credentials and fragment")
    if url.scheme != "https" and not (url.scheme == "http" and host in _LOOPBACK):
        raise body.wrong("callback_url", "expected https, or http on this machine")
