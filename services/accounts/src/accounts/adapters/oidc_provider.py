"""An OpenID provider over HTTP: authorization code with PKCE, discovery, and keys that are fetched anew when they change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from accounts.domain.errors import NotSignedInError, ProviderUnavailableError
from accounts.domain.oidc import OidcIdentity
from accounts.domain.sessions import challenge_of
from servicekit.clock import Clock
from servicekit.logs import get_logger

_log = get_logger(__name__)

# Signed by a private key of the provider; never "none", never a secret that we share.
_ALGORITHMS: Final = ["RS256", "PS256", "ES256", "EdDSA"]
_SCOPES: Final = "openid email profile"
_DISCOVERY_LIFE_S: Final = 3_600.0
# A token with an unknown key id makes us fetch the keys, this often at most.
_KEYS_PAUSE_S: Final = 30.0
_LEEWAY_S: Final = 60
_MAX_ANSWER: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class OidcClient:
    """What the provider knows us by."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_url: str


class HttpOidcProvider:
    """The OidcProvider over HTTP. Nothing about a token is remembered: each is verified whole, every time."""

    def __init__(self, client: OidcClient, http: aiohttp.ClientSession, clock: Clock) -> None:
        self._client = client
        self._http = http
        self._clock = clock
        self._discovered: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def authorization_url(self, state: str, nonce: str, code_verifier: str) -> str:
        """Where to send the browser.

        Raises:
            ProviderUnavailableError: the provider does not say where.
        """
        configuration = await self._configuration()
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_url,
            "scope": _SCOPES,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(code_verifier),
            "code_challenge_method": "S256",
        }
        endpoint = configuration["authorization_endpoint"]
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def identify(self, code: str, nonce: str, code_verifier: str) -> OidcIdentity:
        """Exchange a code for whom the provider names.

        Raises:
            NotSignedInError: the code, or the token, is not good.
            ProviderUnavailableError: the provider does not answer as it should.
        """
        configuration = await self._configuration()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_url,
            "client_id": self._client.client_id,
            "client_secret": self._client.client_secret,
            "code_verifier": code_verifier,
        }
        status, answer = await self._ask("POST", configuration["token_endpoint"], form)
        if status in (400, 401, 403):
            raise NotSignedInError
        token = answer.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise ProviderUnavailableError("the provider gave no token")
        claims = await self._claims(token, nonce)
        return OidcIdentity(
            issuer=self._client.issuer,
            subject=str(claims["sub"]),
            email=str(claims.get("email") or ""),
            email_verified=claims.get("email_verified") is True,
            first_name=claims.get("given_name"),
            last_name=claims.get("family_name"),
        )

    async def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        client = self._client
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": client.issuer},
            aud={"essential": True, "value": client.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = await self._decoded(token)
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            _log.warning("token.refused", error=type(error).__name__)
            raise NotSignedInError from None
        # Of a token for several audiences only the one that it was made for may use it.
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client.client_id:
            raise NotSignedInError
        return claims

    async def _decoded(self, token: str) -> dict[str, Any]:
        keys = await self._key_set(fresh=False)
        try:
            return dict(jwt.decode(token, keys, algorithms=_ALGORITHMS).claims)
        except (JoseError, ValueError):
            # The provider may sign with a new key by now.
            return dict(jwt.decode(token, await self._key_set(fresh=True), algorithms=_ALGORITHMS).claims)

    async def _key_set(self, *, fresh: bool) -> KeySet:
        now = self._clock.monotonic()
        if self._keys is not None:
            age = now - self._keys[0]
            if age < (_KEYS_PAUSE_S if fresh else _DISCOVERY_LIFE_S):
                return self._keys[1]
        status, document = await self._ask("GET", (await self._configuration())["jwks_uri"], None)
        try:
            keys = KeySet.import_key_set(document)  # type: ignore[arg-type]  # its shape is what this checks
        except (JoseError, ValueError, KeyError, TypeError):
            raise ProviderUnavailableError("the provider's keys cannot be read") from None
        if status != 200:
            raise ProviderUnavailableError("the provider gave no keys")
        self._keys = now, keys
        return keys

    async def _configuration(self) -> Mapping[str, Any]:
        now = self._clock.monotonic()
        if self._discovered is not None and now - self._discovered[0] < _DISCOVERY_LIFE_S:
            return self._discovered[1]
        url = self._client.issuer.rstrip("/") + "/.well-known/openid-configuration"
        status, document = await self._ask("GET", url, None)
        if status != 200 or document.get("issuer") != self._client.issuer:
            raise ProviderUnavailableError("the provider is not who it should be")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(document.get(name), str):
                raise ProviderUnavailableError(f"the provider does not say its {name}")
        self._discovered = now, document
        return document

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None) -> tuple[int, dict[str, Any]]:
        try:
            async with self._http.request(method, url, data=form, allow_redirects=False) as response:
                body = await response.content.read(_MAX_ANSWER)
                document = json.loads(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ProviderUnavailableError(f"the provider does not answer: {type(error).__name__}") from None
        if not isinstance(document, dict):
            raise ProviderUnavailableError("the provider's answer is not a JSON object")
        return response.status, document
