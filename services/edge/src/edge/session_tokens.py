"""Sessions of people: how their tokens come with a request, and whom they stand for.

A program sends the token as a bearer; a browser has it in a cookie that its pages cannot read. A cookie goes along with
requests that other sites make, so what changes something must then carry a second token, which only our own pages know.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final, TypeVar

from contracts import api_keys
from contracts.errors import ErrorReason
from edge.control_plane import SessionLookup
from edge.domain.errors import CrossSiteError, EdgeError, InvalidKeyError, NotFoundError, RefusedError
from edge.domain.principal import Principal

V = TypeVar("V")

PREFIX: Final = "tp_sess_"
CSRF_HEADER: Final = "X-CSRF-Token"
SESSION_COOKIE_S: Final = 30 * 24 * 3600
OIDC_COOKIE_S: Final = 600
"""How long browsers keep the cookie of a session, and what takes a sign-in with an OpenID provider there and back."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_TOKEN: Final = 100


class SessionTokens:
    """Finds the session of a request."""

    def __init__(
        self, lookup: SessionLookup, pepper: bytes, *, secure: bool, previous_pepper: bytes | None = None
    ) -> None:
        """Make it.

        Args:
            lookup: has the sessions.
            pepper: secret of the installation that digests are made with.
            secure: whether cookies are for HTTPS only, as they are outside one's own machine.
            previous_pepper: that digests were made with before; None when none may be in use any more.
        """
        self._lookup = lookup
        self._peppers = (pepper,) if previous_pepper is None else (pepper, previous_pepper)
        self._secure = secure
        # With this prefix a browser takes the cookie from this host only, over HTTPS, for all paths.
        self.cookie = "__Host-turnpike_session" if secure else "turnpike_session"

    async def principal(self, credential: str | None, headers: Mapping[str, str], method: str) -> Principal | None:
        """Establish who is signed in; None when the request has no session.

        Args:
            credential: of the header for it; a cookie is not looked at when there is one.
            headers: of the request.
            method: of the request.

        Raises:
            InvalidKeyError: there is no such session, or it is over.
            CrossSiteError: a cookie, and no proof that our own page sent the request.
            DependencyError: nobody could say.
        """
        if credential is not None:
            token = credential.partition(" ")[2].strip()
            return await self._resolved(token) if token.startswith(PREFIX) else None
        token = self.cookie_in(headers)
        if not token:
            return None
        if method not in _SAFE:
            proof = headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(proof.encode(), csrf_token(token).encode()):
                raise CrossSiteError(f"The header {CSRF_HEADER} is missing or wrong")
        return await self._resolved(token)

    async def of_cookie(self, headers: Mapping[str, str]) -> Principal | None:
        """Establish whose cookie a request has; None without one, or when its session is over.

        It proves nothing of who made the request: a page that changes something checks that for itself.

        Raises:
            DependencyError: nobody could say.
        """
        token = self.cookie_in(headers)
        if not token:
            return None
        try:
            return await self._resolved(token)
        except InvalidKeyError:
            return None

    async def known_as(self, token: str, ask: Callable[[str], Awaitable[V]]) -> V:
        """Ask about a token by its digest, and once more by that under the previous pepper where there is nothing under the current one.

        Raises:
            EdgeError: that `ask` raised: for the current pepper, where both are refused.
        """
        refusals: list[EdgeError] = []
        for pepper in self._peppers:
            try:
                return await ask(api_keys.digest(token, pepper))
            except NotFoundError as error:
                refusals.append(error)
            except RefusedError as error:
                # An unknown code is refused in the words for a wrong verifier.
                if error.reason is not ErrorReason.PERMISSION_DENIED:
                    raise
                refusals.append(error)
        raise refusals[0]

    def cookie_in(self, headers: Mapping[str, str]) -> str:
        """The token in the cookies of a request; empty for none."""
        return cookie_value(headers, self.cookie)

    def set_cookie(self, token: str, max_age_s: int) -> str:
        """The header that gives a browser a token, or with "" takes it away."""
        return self.cookie_header(self.cookie, token, max_age_s, "Strict")

    def cookie_header(self, name: str, value: str, max_age_s: int, same_site: str) -> str:
        """A `Set-Cookie` that pages cannot read; it ends at once for an empty value."""
        parts = [
            f"{name}={value}",
            "Path=/",
            f"Max-Age={max_age_s if value else 0}",
            "HttpOnly",
            f"SameSite={same_site}",
        ]
        return "; ".join([*parts, "Secure"] if self._secure else parts)

    async def _resolved(self, token: str) -> Principal:
        if len(token) > _MAX_TOKEN:
            raise InvalidKeyError
        try:
            return await self.known_as(token, self._lookup.resolve_session)
        except NotFoundError:
            raise InvalidKeyError from None


def csrf_token(token: str) -> str:
    """What our own pages prove themselves with: made from the session's token, from which nobody can get back to it."""
    return hmac.new(token.encode(), b"turnpike csrf", hashlib.sha256).hexdigest()


def cookie_value(headers: Mapping[str, str], name: str) -> str:
    """A cookie of a request; empty for none."""
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("Cookie", ""))
    except CookieError:
        return ""
    found = cookies.get(name)
    return "" if found is None else found.value
