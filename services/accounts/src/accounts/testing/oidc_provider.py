"""An OpenID provider as a process: `python -m accounts.testing.oidc_provider --port N`.

It signs with a real key, checks codes, verifiers and the client's secret as a provider does, and can be told to misbehave by
the address of the person who signs in: `forged@` gets a token that another key signed, `stranger@` one for another client,
`stale@` one that is over, `replayed@` one with another nonce, `unverified@` one whose address is not verified.
"""

from __future__ import annotations

import argparse
import secrets
import time
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from accounts.domain.sessions import challenge_of

CLIENT_ID: Final = "turnpike"
CLIENT_SECRET: Final = "a secret of tests"  # noqa: S105 - of this provider only
LOOPBACK: Final = "127.0.0.1"


class OidcProviderApp:
    """The provider's state and routes."""

    def __init__(self, issuer: str, client_secret: str = CLIENT_SECRET) -> None:
        self._issuer = issuer
        self._client_secret = client_secret
        self._key = RSAKey.generate_key(2048, parameters={"kid": "first"})
        self._codes: dict[str, dict[str, str]] = {}

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_post("/rotate", self._rotate)
        return app

    async def _configuration(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self._issuer,
                "authorization_endpoint": f"{self._issuer}/authorize",
                "token_endpoint": f"{self._issuer}/token",
                "jwks_uri": f"{self._issuer}/keys",
            }
        )

    async def _keys(self, request: web.Request) -> web.Response:
        return web.json_response(KeySet([self._key]).as_dict(private=False))

    async def _rotate(self, request: web.Request) -> web.Response:
        self._key = RSAKey.generate_key(2048, parameters={"kid": secrets.token_hex(4)})
        return web.json_response({})

    async def _authorize(self, request: web.Request) -> web.Response:
        """The page on which somebody signs in; here `login_hint` does."""
        query = dict(request.query)
        if query.get("client_id") != CLIENT_ID or query.get("code_challenge_method") != "S256":
            raise web.HTTPBadRequest
        code = secrets.token_urlsafe()
        self._codes[code] = query
        back = urlencode({"code": code, "state": query["state"]})
        raise web.HTTPFound(f"{query['redirect_uri']}?{back}")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self._codes.pop(str(form.get("code")), None)
        fits = (
            asked is not None
            and form.get("client_secret") == self._client_secret
            and form.get("redirect_uri") == asked["redirect_uri"]
            and challenge_of(str(form.get("code_verifier"))) == asked["code_challenge"]
        )
        if asked is None or not fits:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"token_type": "Bearer", "access_token": "unused", "id_token": self._id_token(asked)})

    def _id_token(self, asked: dict[str, str]) -> str:
        email = asked["login_hint"]
        person, now = email.partition("@")[0], int(time.time())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": f"subject-of-{email}",
            "aud": "another-client" if person == "stranger" else CLIENT_ID,
            "exp": now - 3600 if person == "stale" else now + 300,
            "iat": now - 4000 if person == "stale" else now,
            "nonce": "another nonce" if person == "replayed" else asked["nonce"],
            "email": email,
            "email_verified": person != "unverified",
            "given_name": "Ada",
        }
        key = RSAKey.generate_key(2048, parameters={"kid": "first"}) if person == "forged" else self._key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    web.run_app(OidcProviderApp(f"http://{LOOPBACK}:{port}").application(), host=LOOPBACK, port=port, print=None)


if __name__ == "__main__":
    main()
