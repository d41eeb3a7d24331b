"""Use cases of the flow in which an application gets a key of its user's: PKCE, RFC 7636."""

from __future__ import annotations

from datetime import datetime
from random import Random
from uuid import UUID

from accounts.domain.accounts import KeyKind, checked_id, checked_limit, checked_text
from accounts.domain.errors import ForbiddenError, InvalidFieldError
from accounts.domain.key_settings import KeySettings
from accounts.domain.people import Actor
from accounts.domain.sessions import CODE_LIFE, AuthCode, checked_challenge, new_token
from accounts.domain.tenancy_ports import AuthCodeStore
from accounts.identity import Identity
from contracts import api_keys
from contracts.spend import SpendInterval
from servicekit.clock import Clock

_PREFIX = "auth_code_"
_MAX_LABEL = 100
_DEFAULT_LABEL = "OAuth key"


class AuthCodes:
    """Makes codes and exchanges them. A code works once, for ten minutes, for whoever can fit its challenge."""

    def __init__(self, codes: AuthCodeStore, identity: Identity, clock: Clock, random: Random, pepper: bytes) -> None:
        self._codes = codes
        self._identity = identity
        self._clock = clock
        self._random = random
        self._pepper = pepper

    async def create(
        self,
        org_id: str,
        workspace_id: str,
        user_id: str,
        challenge: tuple[str, str],
        key_label: str,
        limit: int | None,
        limit_reset: SpendInterval,
        key_expires_at: datetime | None,
    ) -> tuple[AuthCode, str]:
        """Make a code. Returns it with what its bearer exchanges."""
        now = self._clock.now()
        if key_expires_at is not None and key_expires_at <= now:
            raise InvalidFieldError("expires_at", "must be in the future")
        org = checked_id("org_id", org_id)
        value, method = checked_challenge(*challenge)
        secret = new_token(_PREFIX, self._random)
        code = AuthCode(
            code_digest=api_keys.digest(secret, self._pepper),
            code_id=UUID(int=self._random.getrandbits(128), version=4),
            org_id=org,
            workspace_id=checked_id("workspace_id", workspace_id) if workspace_id else org,
            user_id=str(checked_id("user_id", user_id)) if user_id else "",
            challenge=value,
            challenge_method=method,
            key_label=checked_text("key_label", key_label.strip(), 0, _MAX_LABEL) or _DEFAULT_LABEL,
            limit=checked_limit(limit),
            limit_reset=limit_reset,
            key_expires_at=key_expires_at,
            created_at=now,
            expires_at=now + CODE_LIFE,
        )
        await self._codes.add(code)
        return code, secret

    async def exchange(self, code_digest: str, verifier: str, method: str, actor: Actor) -> tuple[str, str]:
        """Exchange a code for a key. Returns the whole key and the user whose it is, "" when that is not known.

        A code is used up by the attempt, whether or not the verifier fits: nobody may try verifiers.

        Raises:
            ForbiddenError: no such code, used or over, or the verifier does not fit.
            InvalidFieldError: the method is another one.
        """
        code = await self._codes.take(code_digest, self._clock.now())
        if code is None:
            raise ForbiddenError("invalid code or code_verifier")
        code.check_verifier(verifier, method)
        try:
            _, secret = await self._identity.create_key(
                str(code.org_id),
                code.key_label,
                KeyKind.INFERENCE,
                code.limit,
                code.key_expires_at,
                f"code-{code.code_id}",
                KeySettings(limit_reset=code.limit_reset, creator_user_id=code.user_id),
                workspace_id=str(code.workspace_id),
                actor=actor,
            )
        except InvalidFieldError as error:
            if error.field != "creator_user_id":
                raise
            # Who made the code has left meanwhile.
            raise ForbiddenError("invalid code or code_verifier") from None
        return secret, code.user_id
