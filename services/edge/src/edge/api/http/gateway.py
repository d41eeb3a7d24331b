"""What happens to every request: id, limits on its headers, route, trace, caller, answer or envelope, log line, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Final

from aiohttp import web
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from edge.api.http.client_address import ClientAddresses
from edge.api.http.cross_origin import CrossOrigin, preflight_headers
from edge.api.http.errors import HttpError, Problem, problem_of
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Match, RouteTable, check_permission, is_for_sessions
from edge.authentication import Authenticator
from edge.domain.address_limits import AddressLimits
from edge.domain.errors import CredentialError, DependencyError, ForbiddenError, RateLimitError
from edge.domain.principal import Principal
from edge.generations import unix_ms
from edge.session_tokens import SessionTokens
from servicekit.clock import Clock
from servicekit.logs import bind_request, get_logger
from servicekit.metrics import STREAM_SECONDS, GaugeSpec, HistogramSpec
from servicekit.tracing import context_from_headers, span

_log = get_logger(__name__)

_DURATION: Final = HistogramSpec(
    "http.server.request.duration", "s", "Duration of HTTP requests, streams to their end.", STREAM_SECONDS
)
_ACTIVE: Final = GaugeSpec("http.server.active_requests", "{request}", "HTTP requests in hand.")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
# What nginx calls a caller that went away before its answer.
CLIENT_GONE: Final = 499
_REQUEST_ID_BITS: Final = 128


class Gateway:
    """Answers requests. It raises nothing but cancellation."""

    def __init__(
        self,
        routes: RouteTable,
        authenticator: Authenticator,
        *,
        clock: Clock,
        random: Random,
        tracer: Tracer,
        meter: Meter,
        header_limit: int,
        addresses: ClientAddresses,
        limits: AddressLimits,
        sessions: SessionTokens,
        cross_origin: CrossOrigin,
    ) -> None:
        """Make a gateway.

        Args:
            routes: what is answered where.
            authenticator: establishes callers.
            clock: measures.
            random: makes request ids; need not be secret.
            tracer: of the service.
            meter: of the service.
            header_limit: bytes of all headers together.
            addresses: finds where requests come from.
            limits: how much may come from one address.
            sessions: finds who is signed in.
            cross_origin: what pages of other origins may do.
        """
        self._routes = routes
        self._authenticator = authenticator
        self._clock = clock
        self._random = random
        self._tracer = tracer
        self._header_limit = header_limit
        self._addresses = addresses
        self._limits = limits
        self._sessions = sessions
        self._cross_origin = cross_origin
        self._active = 0
        self._duration = _DURATION.create(meter)
        _ACTIVE.create(meter, lambda: self._active)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = self._clock.monotonic()
        exchange = Exchange(request, f"req-{self._random.getrandbits(_REQUEST_ID_BITS):032x}")
        exchange.cross_origin = self._cross_origin.headers(request.headers.get("Origin"))
        bind_request(exchange.request_id)
        self._active += 1
        status = CLIENT_GONE
        template = ""
        try:
            try:
                preflight = self._preflight(exchange)
                if preflight is not None:
                    status = preflight.status
                    return preflight
                match = self._route(request)
            except HttpError as error:
                exchange.error_body = self._routes.error_body_at(request.path)
                response: web.StreamResponse = self._refuse(exchange, error)
            else:
                template = match.template
                exchange.error_body = match.route.error_body
                response = await self._traced(exchange, match)
            status = response.status
            return response
        finally:
            self._active -= 1
            self._report(exchange, template, status, self._clock.monotonic() - began)

    def _preflight(self, exchange: Exchange) -> web.Response | None:
        """Answer the browser of a page of an origin that is allowed; None where there is no such question."""
        request = exchange.request
        if request.method != "OPTIONS" or exchange.cross_origin is None:
            return None
        methods = self._routes.methods_at(request.path)
        if "Access-Control-Request-Method" not in request.headers or not methods:
            return None
        headers = exchange.headers() | preflight_headers(methods, request.headers.get("Access-Control-Request-Headers"))
        return web.Response(status=204, headers=headers)

    def _route(self, request: web.BaseRequest) -> Match:
        size = 0
        for name, value in request.raw_headers:
            size += len(name) + len(value) + 4
            if not value.isascii():
                raise HttpError(400, "Header values must be ASCII")
        if size > self._header_limit:
            raise HttpError(431, f"The headers are larger than {self._header_limit} bytes")
        encoding = request.headers.get("Transfer-Encoding")
        if encoding is not None and encoding.lower() != "chunked":
            raise HttpError(400, "Transfer-Encoding must be chunked")
        return self._routes.match(request.method, request.path)

    async def _traced(self, exchange: Exchange, match: Match) -> web.StreamResponse:
        request = exchange.request
        attributes = {
            "http.request.method": request.method,
            "http.route": match.template,
            "url.path": match.template,
            "url.scheme": "http",
            "network.protocol.version": f"{request.version.major}.{request.version.minor}",
            "turnpike.request_id": exchange.request_id,
        }
        context = context_from_headers(request.headers)
        name = f"{request.method} {match.template}"
        with span(self._tracer, name, kind=SpanKind.SERVER, context=context, attributes=attributes) as current:
            try:
                response = await self._answer(exchange, match)
            finally:
                _describe(current, exchange)
            current.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                current.set_status(Status(StatusCode.ERROR))
            return response

    async def _answer(self, exchange: Exchange, match: Match) -> web.StreamResponse:
        exchange.address = self._addresses.of(exchange.request)
        exchange.country = self._addresses.country_of(exchange.request)
        try:
            exchange.params = match.params
            exchange.place = self._limits.enter(exchange.address, unix_ms(self._clock.now()))
            await self._admit(exchange, match.route.access)
            exchange.limits = self._limits.of_generations(exchange.address)
            return await match.route.handler(exchange)
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            # The caller went away while it was being written to.
            raise asyncio.CancelledError from None
        except Exception as error:
            return self._refuse(exchange, error)
        finally:
            exchange.leave()

    async def _admit(self, exchange: Exchange, access: Access) -> None:
        if access is Access.ANYBODY:
            return
        credential = _credential(exchange.request.headers)
        if access is Access.ANYBODY_OR_KEY:
            await self._recognize(exchange, credential)
            return
        now_ms = unix_ms(self._clock.now())
        self._limits.count(exchange.address, now_ms)
        signed_in = await self._signed_in(exchange, credential, now_ms) if is_for_sessions(access) else None
        principal = signed_in or await self._authenticated(exchange, credential, now_ms)
        exchange.principal = principal
        check_permission(access, principal)

    async def _signed_in(self, exchange: Exchange, credential: str | None, now_ms: int) -> Principal | None:
        """Establish who is signed in; None when the request has no session."""
        request = exchange.request
        try:
            return await self._sessions.principal(credential, request.headers, request.method)
        except CredentialError:
            self._limits.count_failure(exchange.address, now_ms)
            raise

    async def _recognize(self, exchange: Exchange, credential: str | None) -> None:
        """Establish the caller if that is possible. What is for everybody is also for those whose key is good for nothing."""
        if credential is None:
            return
        try:
            exchange.principal = await self._authenticated(exchange, credential, unix_ms(self._clock.now()))
        except (CredentialError, ForbiddenError, DependencyError, RateLimitError):
            return

    async def _authenticated(self, exchange: Exchange, credential: str | None, now_ms: int) -> Principal:
        """Establish the caller. From an address that has failed enough, only keys that are known are good for anything."""
        address = exchange.address
        may_ask = not self._limits.has_failed_enough(address, now_ms)
        try:
            principal = await self._authenticator.authenticate(credential, now_ms, may_ask=may_ask)
        except CredentialError:
            self._limits.count_failure(address, now_ms)
            raise
        principal.key.access.check_address(address)
        return principal

    def _refuse(self, exchange: Exchange, error: Exception) -> web.Response:
        problem = problem_of(error)
        exchange.error_type = problem.error_type
        if isinstance(error, DependencyError):
            exchange.dependency = error.dependency
        if problem.status == 500:
            # Logged here and nowhere else; the caller gets the request id to ask about it.
            _log.error("request.failed", exc_info=error)
        return respond(exchange, problem)

    def _report(self, exchange: Exchange, template: str, status: int, seconds: float) -> None:
        request = exchange.request
        method = request.method if request.method in _METHODS else "_OTHER"
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.response.status_code": status,
            "url.scheme": "http",
        }
        if template:
            attributes["http.route"] = template
        if exchange.error_type is not None:
            attributes["error.type"] = exchange.error_type
        self._duration.record(seconds, attributes)
        caller = exchange.caller
        _log.info(
            "request.finished",
            method=method,
            route=template or None,
            status=status,
            seconds=round(seconds, 6),
            error_type=exchange.error_type,
            dependency=exchange.dependency,
            org_id=caller.org.org_id if caller else None,
            key_id=caller.key.key_id if caller else None,
            generation_id=exchange.generation_id,
            model=exchange.model,
            provider=exchange.provider,
            streamed=exchange.streamed,
        )


def _credential(headers: Mapping[str, str]) -> str | None:
    """The bearer token; Anthropic's clients put theirs into a header of its own. Never one of the address (S8)."""
    authorization = headers.get("Authorization")
    key = headers.get("x-api-key")
    return f"Bearer {key}" if authorization is None and key is not None else authorization


def respond(exchange: Exchange, problem: Problem) -> web.Response:
    """Make the whole answer for an error."""
    response = problem.response(exchange.error_body(problem, exchange.generation_id))
    response.headers.update(exchange.headers())
    return response


def _describe(current: Span, exchange: Exchange) -> None:
    facts = {
        "turnpike.generation_id": exchange.generation_id,
        "gen_ai.response.model": exchange.model,
        "turnpike.provider": exchange.provider,
        "error.type": exchange.error_type,
    }
    for name, value in facts.items():
        if value is not None:
            current.set_attribute(name, value)
