"""`/auth/...`: sign-in by password and by OpenID Connect, and the session that comes of it. All of it is Turnpike's own."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from edge.api.http.answer import Answer
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.management.members import JsonMembers, read_body
from edge.api.organization.calls import Calls, address
from edge.api.organization.requests import (
    AcceptBody,
    OrganizationBody,
    PasswordBody,
    SignInBody,
    SignUpBody,
    SwitchBody,
)
from edge.api.organization.return_cookie import consent_path
from edge.api.organization.session_answers import SessionAnswer, session_of
from edge.domain.errors import CrossSiteError
from edge.domain.principal import Member
from edge.session_tokens import OIDC_COOKIE_S, SESSION_COOKIE_S, SessionTokens, cookie_value, csrf_token
from turnpike.accounts.v1 import member_service_pb2
from turnpike.accounts.v1 import session_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_MAX_PASSWORD: Final = 200
_STATE_COOKIE: Final = "turnpike_sign_in"
# Where a browser goes that has signed in: our own pages, never an address that a request names.
_HOME: Final = "/"
_REFUSALS: Final = (401, 403, 404, 409, 429)


class Ended(Answer, frozen=True, kw_only=True):
    """The session is over."""

    deleted: bool


class EndQuery(Struct, frozen=True, kw_only=True):
    """Which sessions."""

    everywhere: Annotated[bool, Meta(description="end all sessions of the user")] | None = None


class CallbackQuery(Struct, frozen=True, kw_only=True):
    """What the OpenID provider sends a browser back with."""

    code: Annotated[str, Meta(max_length=1000)] | None = None
    state: Annotated[str, Meta(max_length=200)] | None = None


def _operation(name: str, summary: str, body: type[Struct], *, status: int = 200) -> Operation:
    return Operation(
        id=name, tag="Sessions", summary=summary, body=body, answer=SessionAnswer, status=status,
        errors=_REFUSALS,
    )  # fmt: skip


_SIGN_IN: Final = _operation("signIn", "Sign in with a password", SignInBody)
_SIGN_UP: Final = _operation("signUp", "Make an account by an invitation", SignUpBody, status=201)
_SWITCH: Final = _operation("switchOrganization", "Put the session into another organization", SwitchBody)
_PASSWORD: Final = _operation("changePassword", "Change the password, and end the other sessions", PasswordBody)
_ACCEPT: Final = _operation("acceptInvitation", "Accept an invitation with the account of the session", AcceptBody)
_FOUND: Final = _operation("createOrganization", "Make an organization of one's own", OrganizationBody, status=201)
_SESSION: Final = Operation(id="getSession", tag="Sessions", summary="Get the session", answer=SessionAnswer)
_END: Final = Operation(id="endSession", tag="Sessions", summary="Sign out", query=EndQuery, answer=Ended)
_OIDC: Final = Operation(
    id="signInWithOpenId", tag="Sessions", summary="Send the browser to the OpenID provider", status=302, errors=(404,)
)
_CALLBACK: Final = Operation(
    id="openIdCallback",
    tag="Sessions",
    summary="Take the browser back from the OpenID provider",
    query=CallbackQuery,
    status=302,
    errors=(401, 403, 404),
)


class SignIn:
    """Serves sign-in and sessions."""

    def __init__(self, calls: Calls, bodies: JsonBodies, tokens: SessionTokens) -> None:
        """Make the handler.

        Args:
            calls: asks accounts.
            bodies: reads requests.
            tokens: knows how tokens go to and fro.
        """
        self._calls = calls
        self._bodies = bodies
        self._tokens = tokens

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("POST", "/auth/sign-in", Access.ANYBODY, self.sign_in, _SIGN_IN),
            Route("POST", "/auth/sign-up", Access.ANYBODY, self.sign_up, _SIGN_UP),
            Route("GET", "/auth/session", Access.SESSION, self.get, _SESSION),
            Route("PATCH", "/auth/session", Access.SESSION, self.switch, _SWITCH),
            Route("DELETE", "/auth/session", Access.SESSION, self.end, _END),
            Route("POST", "/auth/password", Access.SESSION, self.change_password, _PASSWORD),
            Route("POST", "/auth/invitations/accept", Access.SESSION, self.accept, _ACCEPT),
            Route("POST", "/organizations", Access.SESSION, self.found, _FOUND),
            Route("GET", "/auth/oidc", Access.ANYBODY, self.begin_oidc, _OIDC),
            Route("GET", "/auth/oidc/callback", Access.ANYBODY, self.finish_oidc, _CALLBACK),
        )

    async def sign_in(self, exchange: Exchange) -> web.StreamResponse:
        """Sign in with a password."""
        body = await self._body(exchange, SignInBody)
        request = messages.SignInRequest(
            email=body.required_text("email", most=254),
            password=body.required_text("password", most=_MAX_PASSWORD),
            ip=address(exchange),
        )
        answer = await self._calls(exchange, "SessionService/SignIn", request, messages.SignInResponse)
        return self._opened(exchange, answer.opened, as_token=body.flag("as_token") or False)

    async def sign_up(self, exchange: Exchange) -> web.StreamResponse:
        """Make an account by an invitation."""
        body = await self._body(exchange, SignUpBody)
        request = messages.SignUpRequest(
            password=body.required_text("password", most=_MAX_PASSWORD),
            first_name=body.text("first_name", most=100) or "",
            last_name=body.text("last_name", most=100) or "",
            ip=address(exchange),
        )
        invitation = body.required_text("invitation", most=100)

        async def sign_up(digest: str) -> messages.SignUpResponse:
            request.invitation_digest = digest
            return await self._calls(exchange, "SessionService/SignUp", request, messages.SignUpResponse)

        answer = await self._tokens.known_as(invitation, sign_up)
        as_token = body.flag("as_token") or False
        return self._opened(exchange, answer.opened, as_token=as_token, status=HTTPStatus.CREATED)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return the session."""
        return await self._described(exchange)

    async def switch(self, exchange: Exchange) -> web.StreamResponse:
        """Put the session into another organisation of its user."""
        body = await self._body(exchange, SwitchBody)
        request = messages.SwitchOrgRequest(
            token_digest=_member(exchange).token_digest, org_id=body.required_text("organization_id", most=100)
        )
        answer = await self._calls(exchange, "SessionService/SwitchOrg", request, messages.SwitchOrgResponse)
        return self._opened(exchange, answer.opened, as_token=not self._has_cookie(exchange))

    async def end(self, exchange: Exchange) -> web.StreamResponse:
        """Sign out."""
        everywhere = read_query(exchange.request, EndQuery).everywhere or False
        request = messages.EndSessionRequest(token_digest=_member(exchange).token_digest, everywhere=everywhere)
        await self._calls(exchange, "SessionService/EndSession", request, messages.EndSessionResponse)
        response = exchange.json(_encode(Ended(deleted=True)))
        if self._has_cookie(exchange):
            response.headers["Set-Cookie"] = self._tokens.set_cookie("", 0)
        return response

    async def change_password(self, exchange: Exchange) -> web.StreamResponse:
        """Change the password of the session's user."""
        body = await self._body(exchange, PasswordBody)
        request = messages.ChangePasswordRequest(
            token_digest=_member(exchange).token_digest,
            old_password=body.text("old_password", most=_MAX_PASSWORD) or "",
            new_password=body.required_text("new_password", most=_MAX_PASSWORD),
            ip=address(exchange),
        )
        answer = await self._calls(exchange, "SessionService/ChangePassword", request, messages.ChangePasswordResponse)
        return self._opened(exchange, answer.opened, as_token=not self._has_cookie(exchange))

    async def accept(self, exchange: Exchange) -> web.StreamResponse:
        """Accept an invitation with the account of the session."""
        body = await self._body(exchange, AcceptBody)
        user_id = _member(exchange).user_id

        async def accept(digest: str) -> None:
            request = member_service_pb2.AcceptInvitationRequest(token_digest=digest, user_id=user_id)
            answer = member_service_pb2.AcceptInvitationResponse
            await self._calls(exchange, "MemberService/AcceptInvitation", request, answer)

        await self._tokens.known_as(body.required_text("invitation", most=100), accept)
        return await self._described(exchange)

    async def found(self, exchange: Exchange) -> web.StreamResponse:
        """Make an organisation of one's own."""
        body = await self._body(exchange, OrganizationBody)
        request = member_service_pb2.FoundOrgRequest(
            name=body.required_text("name", most=100), user_id=_member(exchange).user_id
        )
        await self._calls(exchange, "MemberService/FoundOrg", request, member_service_pb2.FoundOrgResponse)
        return await self._described(exchange, HTTPStatus.CREATED)

    async def begin_oidc(self, exchange: Exchange) -> web.StreamResponse:
        """Send the browser to the OpenID provider, with a cookie that it must come back with."""
        answer = await self._calls(
            exchange, "SessionService/BeginOidc", messages.BeginOidcRequest(), messages.BeginOidcResponse
        )
        # Lax, because it comes back from another site.
        cookie = self._tokens.cookie_header(_STATE_COOKIE, answer.state, OIDC_COOKIE_S, "Lax")
        return _redirect(exchange, answer.authorization_url, cookie)

    async def finish_oidc(self, exchange: Exchange) -> web.StreamResponse:
        """Take the browser back from the OpenID provider.

        Raises:
            CrossSiteError: it is another browser than the one that was sent there.
        """
        query = read_query(exchange.request, CallbackQuery)
        begun = cookie_value(exchange.request.headers, _STATE_COOKIE)
        state = query.state or ""
        if not state or not hmac.compare_digest(begun.encode(), state.encode()):
            raise CrossSiteError("The sign-in was not begun in this browser, or too long ago: begin again")
        request = messages.FinishOidcRequest(state=state, code=query.code or "", ip=address(exchange))
        answer = await self._calls(exchange, "SessionService/FinishOidc", request, messages.FinishOidcResponse)
        # Somebody who came from our page that asks for consent goes back to it, and everybody else to the start.
        where = consent_path(exchange.request.headers) or _HOME
        return _redirect(exchange, where, self._tokens.set_cookie(answer.opened.token, SESSION_COOKIE_S))

    async def _body(self, exchange: Exchange, kind: type[Struct]) -> JsonMembers:
        # A page of another site must not sign its visitor in as somebody else. Browsers say where a request comes from.
        if exchange.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise CrossSiteError("Requests of other sites are not taken here")
        return read_body(await self._bodies.read(exchange.request), kind)

    async def _described(self, exchange: Exchange, status: int = HTTPStatus.OK) -> web.StreamResponse:
        request = messages.ResolveSessionRequest(token_digest=_member(exchange).token_digest)
        found = await self._calls(exchange, "SessionService/ResolveSession", request, messages.ResolveSessionResponse)
        token = self._tokens.cookie_in(exchange.request.headers)
        proof = csrf_token(token) if self._has_cookie(exchange) else None
        return exchange.json(_encode(SessionAnswer(data=session_of(found.session), csrf_token=proof)), status)

    def _has_cookie(self, exchange: Exchange) -> bool:
        """Whether the session came in a cookie; a bearer goes before."""
        headers = exchange.request.headers
        return "Authorization" not in headers and bool(self._tokens.cookie_in(headers))

    def _opened(
        self, exchange: Exchange, opened: messages.OpenedSession, *, as_token: bool, status: int = HTTPStatus.OK
    ) -> web.StreamResponse:
        session = session_of(opened.session)
        if as_token:
            return exchange.json(_encode(SessionAnswer(data=session, csrf_token=None, token=opened.token)), status)
        answer = SessionAnswer(data=session, csrf_token=csrf_token(opened.token))
        response = exchange.json(_encode(answer), status)
        response.headers["Set-Cookie"] = self._tokens.set_cookie(opened.token, SESSION_COOKIE_S)
        return response


def _member(exchange: Exchange) -> Member:
    member = exchange.principal.member
    if member is None:
        raise LookupError("the route is for sessions")
    return member


def _redirect(exchange: Exchange, where: str, cookie: str) -> web.Response:
    headers = exchange.headers() | {"Location": where, "Set-Cookie": cookie, "Cache-Control": "no-store"}
    return web.Response(status=HTTPStatus.FOUND, headers=headers)
