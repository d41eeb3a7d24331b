"""`/auth`: where an application sends a browser to ask its user for a key, as at OpenRouter, and the forms of this page."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from contracts import money
from dialects.errors import InvalidRequestError
from edge.api.consent.pages import page, page_headers
from edge.api.consent.requests import (
    FORM,
    ConsentForm,
    ConsentQuery,
    SignInForm,
    Wish,
    read_form,
    read_wish,
)
from edge.api.http.bodies import JsonBodies
from edge.api.http.errors import problem_of
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import ROOT, Access, Handler, Route, check_permission
from edge.api.organization.calls import Calls, address
from edge.api.organization.code_requests import code_request
from edge.api.organization.return_cookie import CONSENT_PATH, RETURN_COOKIE, return_value
from edge.domain.errors import CrossSiteError, EdgeError, ForbiddenError, InvalidInputError, RefusedError
from edge.domain.principal import Principal
from edge.session_tokens import OIDC_COOKIE_S, SESSION_COOKIE_S, SessionTokens, csrf_token
from turnpike.accounts.v1 import session_service_pb2 as messages

_HTML: Final = "text/html"
_INTERVALS: Final = {"daily": " a day", "weekly": " a week", "monthly": " a month"}
_BEGIN_OIDC: Final = "/api/v1/auth/oidc"
_MAX_EMAIL, _MAX_PASSWORD = 254, 200


def _operation(id: str, summary: str, **more: Any) -> Operation:
    return Operation(id=id, tag="OAuth", summary=summary, query=ConsentQuery, content={_HTML: None}, **more)


_SHOW: Final = _operation("showConsent", "Ask the user of a browser for a key for an application")
_DECIDE: Final = _operation("decideConsent", "Take what the user decided", bodies={FORM: ConsentForm}, status=303)
_SIGN_IN: Final = _operation("signInForConsent", "Take who the user is", bodies={FORM: SignInForm}, status=303)
_OPENID: Final = _operation("openIdForConsent", "Send the browser to the OpenID provider and back here", status=302)


class Consent:
    """Serves the page. What goes wrong is a page as well; nobody is sent to an address that was not checked."""

    def __init__(self, calls: Calls, bodies: JsonBodies, tokens: SessionTokens, *, openid: bool) -> None:
        """Make the handler.

        Args:
            calls: asks accounts.
            bodies: reads forms.
            tokens: knows who is signed in.
            openid: whether sign-in with an OpenID provider is offered.
        """
        self._calls = calls
        self._bodies = bodies
        self._tokens = tokens
        self._openid = openid

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/auth", Access.ANYBODY, _paged(self.show), _SHOW, prefixes=ROOT),
            Route("POST", "/auth", Access.ANYBODY, _paged(self.decide), _DECIDE, prefixes=ROOT),
            Route("POST", "/auth/sign-in", Access.ANYBODY, _paged(self.sign_in), _SIGN_IN, prefixes=ROOT),
            Route("GET", "/auth/oidc", Access.ANYBODY, _paged(self.begin_openid), _OPENID, prefixes=ROOT),
        )

    async def show(self, exchange: Exchange) -> web.StreamResponse:
        """Ask for consent, after who it is."""
        wish = read_wish(exchange.request)
        headers = exchange.request.headers
        principal = await self._tokens.of_cookie(headers)
        if principal is not None:
            return await self._ask(exchange, wish, principal)
        # A browser that another site sent here left the cookie out, which it does not when our own page sends it here.
        if not self._tokens.cookie_in(headers) and headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            return _page(exchange, "again", query=wish.query)
        return self._who(exchange, wish)

    async def sign_in(self, exchange: Exchange) -> web.StreamResponse:
        """Sign in with a password, and go on to the question."""
        wish = read_wish(exchange.request)
        form = await read_form(exchange.request, self._bodies)
        email, password = form.get("email", ""), form.get("password", "")
        if not email or not password or len(email) > _MAX_EMAIL or len(password) > _MAX_PASSWORD:
            raise InvalidInputError("email, password: both are required", "email")
        request = messages.SignInRequest(email=email, password=password, ip=address(exchange))
        try:
            answer = await self._calls(exchange, "SessionService/SignIn", request, messages.SignInResponse)
        except (EdgeError, InvalidRequestError) as error:
            return self._who(exchange, wish, email=email, error=error)
        cookie = self._tokens.set_cookie(answer.opened.token, SESSION_COOKIE_S)
        return _redirect(exchange, f"{CONSENT_PATH}?{wish.query}", cookie)

    async def begin_openid(self, exchange: Exchange) -> web.StreamResponse:
        """Remember this page in the browser, and send it to sign in with the OpenID provider."""
        wish = read_wish(exchange.request)
        cookie = self._tokens.cookie_header(RETURN_COOKIE, return_value(wish.query), OIDC_COOKIE_S, "Lax")
        return _redirect(exchange, _BEGIN_OIDC, cookie, HTTPStatus.FOUND)

    async def decide(self, exchange: Exchange) -> web.StreamResponse:
        """Do what the user decided.

        Raises:
            CrossSiteError: another site sent the form.
        """
        wish = read_wish(exchange.request)
        form = await read_form(exchange.request, self._bodies)
        token = self._tokens.cookie_in(exchange.request.headers)
        principal = await self._tokens.of_cookie(exchange.request.headers)
        if principal is None:
            return self._who(exchange, wish)
        if not hmac.compare_digest(form.get("csrf_token", "").encode(), csrf_token(token).encode()):
            raise CrossSiteError("The form is not one of this session: go back, and load the page anew")
        decision = form.get("decision")
        if decision == "leave":
            request = messages.EndSessionRequest(token_digest=_digest_of(principal))
            exchange.principal = principal
            await self._calls(exchange, "SessionService/EndSession", request, messages.EndSessionResponse)
            return _redirect(exchange, f"{CONSENT_PATH}?{wish.query}", self._tokens.set_cookie("", 0))
        if decision == "deny":
            return self._denied(exchange, wish)
        if decision != "allow":
            raise InvalidInputError("decision: expected one of allow, deny, leave", "decision")
        return await self._allow(exchange, wish, form.get("limit", ""), principal)

    async def _allow(self, exchange: Exchange, wish: Wish, limit: str, principal: Principal) -> web.StreamResponse:
        exchange.principal = principal
        check_permission(Access.AUTHORIZE, principal)
        try:
            request = code_request(wish.with_limit(limit.strip()).body, principal)
            made = await self._calls(
                exchange, "SessionService/CreateAuthCode", request, messages.CreateAuthCodeResponse
            )
        except (InvalidInputError, InvalidRequestError, RefusedError) as error:
            return await self._ask(exchange, wish, principal, error)
        if wish.callback_url is None:
            return _page(exchange, "code", code=made.code)
        return _redirect(exchange, wish.answer(code=made.code))

    def _denied(self, exchange: Exchange, wish: Wish) -> web.StreamResponse:
        if wish.callback_url is None:
            return _page(exchange, "notice", heading="Denied", text="No key was made. You can close this page.")
        # The words of RFC 6749, 4.1.2.1.
        return _redirect(exchange, wish.answer(error="access_denied"))

    async def _ask(
        self, exchange: Exchange, wish: Wish, principal: Principal, error: Exception | None = None
    ) -> web.StreamResponse:
        """Show the question. Whoever may make no key is told so, and can sign in as somebody else."""
        exchange.principal = principal
        token = self._tokens.cookie_in(exchange.request.headers)
        if principal.member is None or principal.member.role is None:
            raise ForbiddenError("You are in no organization: somebody has to invite you to theirs")
        check_permission(Access.AUTHORIZE, principal)
        request = messages.ResolveSessionRequest(token_digest=_digest_of(principal))
        found = await self._calls(exchange, "SessionService/ResolveSession", request, messages.ResolveSessionResponse)
        names = {each.org_id: each.org_name for each in found.session.memberships}
        ends = wish.body.instant("expires_at")
        limit = wish.body.dollars("limit")
        return _page(
            exchange,
            "consent",
            _status_of(error),
            wish,
            host=wish.host,
            query=wish.query,
            label=wish.body.text("key_label"),
            organization=names.get(principal.org.org_id, ""),
            email=principal.member.email,
            interval=_INTERVALS.get(wish.body.text("usage_limit_type") or "", ""),
            limit="" if limit is None else money.usd_text(limit),
            expires_at="" if ends is None else f"{ends:%Y-%m-%d %H:%M} UTC",
            csrf_token=csrf_token(token),
            problem=_message_of(error),
        )

    def _who(
        self, exchange: Exchange, wish: Wish, *, email: str = "", error: Exception | None = None
    ) -> web.StreamResponse:
        return _page(
            exchange,
            "sign-in",
            _status_of(error),
            host=wish.host,
            query=wish.query,
            email=email,
            openid=self._openid,
            problem=_message_of(error),
        )


def _paged(handler: Handler) -> Handler:
    """Make a page of what a handler raises that a caller can do something about; the rest is the gateway's."""

    async def answer(exchange: Exchange) -> web.StreamResponse:
        exchange.cross_origin = None
        try:
            return await handler(exchange)
        except (EdgeError, InvalidRequestError) as error:
            problem = problem_of(error)
            exchange.error_type = problem.error_type
            heading = "Not now" if problem.status >= 500 else "This does not work"
            return _page(exchange, "notice", problem.status, heading=heading, text=problem.message)

    return answer


def _status_of(error: Exception | None) -> int:
    return HTTPStatus.OK if error is None else problem_of(error).status


def _message_of(error: Exception | None) -> str:
    return "" if error is None else problem_of(error).message


def _page(
    exchange: Exchange, name: str, status: int = HTTPStatus.OK, wish: Wish | None = None, **values: Any
) -> web.Response:
    response = exchange.document(page(name, **values), _HTML)
    response.set_status(status)
    response.headers.update(page_headers("" if wish is None else wish.origin))
    return response


def _redirect(exchange: Exchange, where: str, cookie: str = "", status: int = HTTPStatus.SEE_OTHER) -> web.Response:
    headers = exchange.headers() | page_headers() | {"Location": where}
    if cookie:
        headers["Set-Cookie"] = cookie
    return web.Response(status=status, headers=headers)


def _digest_of(principal: Principal) -> str:
    return "" if principal.member is None else principal.member.token_digest
