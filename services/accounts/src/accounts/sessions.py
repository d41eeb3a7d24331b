"""Use cases of signing in, and of the sessions that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from uuid import UUID

from accounts.domain.accounts import checked_id, checked_text
from accounts.domain.errors import InvalidFieldError, NotFoundError, NotSignedInError, TooManyAttemptsError
from accounts.domain.oidc import OidcFlow
from accounts.domain.people import Actor, User, checked_email
from accounts.domain.sessions import (
    MAX_ACCOUNT_FAILURES,
    MAX_IP_FAILURES,
    OIDC_FLOW_LIFE,
    SESSION_LIFE,
    NewSession,
    Session,
    checked_password,
    new_token,
)
from accounts.domain.tenancy_ports import MemberStore, OidcProvider, Passwords, SessionStore, SignInStore
from contracts import api_keys
from servicekit.clock import Clock

SESSION_PREFIX = "tp_sess_"
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session with its token, which exists nowhere else."""

    session: Session
    token: str


class Sessions:
    """Signs people in and out. Mints every id, time and token."""

    def __init__(
        self,
        sessions: SessionStore,
        accounts: SignInStore,
        members: MemberStore,
        passwords: Passwords,
        oidc: OidcProvider | None,
        clock: Clock,
        random: Random,
        pepper: bytes,
        previous_pepper: bytes | None = None,
    ) -> None:
        """Make the use cases.

        Args:
            sessions: where sessions are kept.
            accounts: where people and failed attempts are kept.
            members: makes members of the invited.
            passwords: makes and compares what is stored of passwords.
            oidc: the installation's OpenID provider, or None.
            clock: source of times.
            random: source of ids and tokens; cryptographic outside tests.
            pepper: secret of the installation that digests are made with.
            previous_pepper: that digests were made with before, or None.
        """
        self._sessions = sessions
        self._accounts = accounts
        self._members = members
        self._passwords = passwords
        self._oidc = oidc
        self._clock = clock
        self._random = random
        self._pepper = pepper
        self._previous_pepper = previous_pepper

    async def sign_in(self, email: str, password: str, ip: str) -> OpenedSession:
        """Sign in with a password.

        Raises:
            NotSignedInError: no such account, or not its password: the same for both, and after as long.
            TooManyAttemptsError: too many of the last attempts were wrong.
        """
        try:
            address = checked_email(email)
        except InvalidFieldError:
            address = ""
        user = await self._with_password(address, password, ip)
        if user.password_hash and self._passwords.is_outdated(user.password_hash):
            await self._accounts.set_password(user.user_id, await self._passwords.hash(password))
        return await self._open(user.user_id, "password", ip)

    async def sign_up(
        self, invitation_digest: str, password: str, first_name: str, last_name: str, actor: Actor
    ) -> OpenedSession:
        """Make the account of the invited and sign them in as a member."""
        user = User(
            user_id=self._new_id(),
            email="",
            first_name=checked_text("first_name", first_name.strip(), 0, _MAX_NAME) or None,
            last_name=checked_text("last_name", last_name.strip(), 0, _MAX_NAME) or None,
            password_hash=await self._passwords.hash(checked_password(password)),
            created_at=self._clock.now(),
        )
        member = await self._members.accept_as_new_user(invitation_digest, user, actor, user.created_at)
        return await self._open(member.user.user_id, "password", actor.ip)

    async def begin_oidc(self) -> tuple[str, str]:
        """Start a sign-in with the OpenID provider: where to send the browser, and what it must come back with."""
        provider = self._provider()
        state, nonce, verifier = (new_token("", self._random) for _ in range(3))
        now = self._clock.now()
        url = await provider.authorization_url(state, nonce, verifier)
        await self._accounts.add_flow(OidcFlow(self._digest(state), nonce, verifier, now + OIDC_FLOW_LIFE), now)
        return url, state

    async def finish_oidc(self, state: str, code: str, ip: str) -> OpenedSession:
        """End a sign-in with the OpenID provider.

        Raises:
            NotSignedInError: the flow is unknown, used or over, or the provider vouches for nobody with a verified
                address.
        """
        provider = self._provider()
        flow = await self._accounts.take_flow(self._digest(state))
        if flow is None and self._previous_pepper is not None:
            # Begun before the pepper was changed, or with a process that does not have the new one yet.
            flow = await self._accounts.take_flow(api_keys.digest(state, self._previous_pepper))
        now = self._clock.now()
        if flow is None or flow.expires_at <= now:
            raise NotSignedInError
        identity = await provider.identify(code, flow.nonce, flow.code_verifier)
        # An address that anybody could have typed in there must not open the account of its true owner.
        if not identity.email_verified:
            raise NotSignedInError
        try:
            email = checked_email(identity.email)
        except InvalidFieldError:
            raise NotSignedInError from None
        new = User(self._new_id(), email, identity.first_name, identity.last_name, None, now)
        user = await self._accounts.by_identity(identity, new)
        return await self._open(user.user_id, "oidc", ip)

    async def resolve(self, digest: str) -> Session:
        """Find a session that is alive."""
        return await self._sessions.resolve(digest, self._clock.now())

    async def switch_org(self, digest: str, org_id: str) -> OpenedSession:
        """Put a session into another organisation of its user, under a new token."""
        token = new_token(SESSION_PREFIX, self._random)
        org = checked_id("organization_id", org_id)
        return OpenedSession(await self._sessions.rotate(digest, self._digest(token), org, self._clock.now()), token)

    async def end(self, digest: str, *, everywhere: bool) -> None:
        """End a session, or all of its user's. Nothing happens where there is none."""
        now = self._clock.now()
        if everywhere:
            try:
                session = await self._sessions.resolve(digest, now)
            except NotFoundError:
                return
            await self._sessions.end_all(session.user.user_id, now)
        else:
            await self._sessions.end(digest, now)

    async def change_password(self, digest: str, old: str, new: str, ip: str) -> OpenedSession:
        """Change the password of a session's user, end their other sessions, and give this one a new token.

        Raises:
            NotFoundError: no such session is alive.
            NotSignedInError: the old password is wrong.
        """
        session = await self._sessions.resolve(digest, self._clock.now())
        user = session.user
        checked_password(new, "new_password")
        if user.password_hash is not None:
            await self._with_password(user.email, old, ip)
        await self._accounts.set_password(user.user_id, await self._passwords.hash(new))
        token, now = new_token(SESSION_PREFIX, self._random), self._clock.now()
        rotated = await self._sessions.rotate(digest, self._digest(token), None, now)
        await self._sessions.end_all(user.user_id, now, but=self._digest(token))
        return OpenedSession(rotated, token)

    async def _with_password(self, email: str, password: str, ip: str) -> User:
        """Find the account with this address and password."""
        account, address = f"account:{self._digest(email)}", f"ip:{ip}"
        limits = {account: MAX_ACCOUNT_FAILURES, address: MAX_IP_FAILURES}
        wait = await self._accounts.count_attempts(limits, self._clock.now())
        if wait:
            raise TooManyAttemptsError(wait)
        user = await self._accounts.by_email(email)
        if not await self._passwords.fits(password, None if user is None else user.password_hash) or user is None:
            raise NotSignedInError
        await self._accounts.forgive(account, address, self._clock.now())
        return user

    async def _open(self, user_id: UUID, method: str, ip: str) -> OpenedSession:
        token, now = new_token(SESSION_PREFIX, self._random), self._clock.now()
        new = NewSession(self._new_id(), self._digest(token), user_id, method, ip, now, now + SESSION_LIFE)
        return OpenedSession(await self._sessions.open(new), token)

    def _provider(self) -> OidcProvider:
        if self._oidc is None:
            raise NotFoundError("there is no OpenID provider")
        return self._oidc

    def _digest(self, token: str) -> str:
        return api_keys.digest(token, self._pepper)

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)
