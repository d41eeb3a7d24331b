"""Signing in: passwords, sessions, an OpenID provider that is a process, and codes for keys."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import parse_qs, urlsplit

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from accounts.adapters.oidc_provider import HttpOidcProvider, OidcClient
from accounts.adapters.passwords import Argon2Passwords
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.member_store import PostgresMemberStore
from accounts.adapters.postgres.session_store import PostgresSessionStore
from accounts.adapters.postgres.sign_in_store import PostgresSignInStore
from accounts.domain.errors import (
    AlreadyExistsError,
    InvalidFieldError,
    NotFoundError,
    NotSignedInError,
    ProviderUnavailableError,
    TooManyAttemptsError,
)
from accounts.domain.people import OPERATOR, Actor, Role
from accounts.domain.sessions import (
    FAILURE_WINDOW,
    MAX_ACCOUNT_FAILURES,
    MAX_IP_FAILURES,
    SESSION_IDLE,
    SESSION_LIFE,
)
from accounts.identity import Identity
from accounts.members import Members
from accounts.sessions import OpenedSession, Sessions
from accounts.testing.oidc_provider import CLIENT_ID, CLIENT_SECRET
from contracts import api_keys
from servicekit.clock import SystemClock
from servicekit.testing import ManualClock

PEPPER = b"a pepper of at least thirty-two bytes"
PASSWORD = "correct horse battery"
IP = "192.0.2.1"
CALLBACK = "http://127.0.0.1:9/callback"
VERIFIER = "v" * 43
# Weak on purpose: what is tested is who gets in, not how long a guess takes.
QUICK = Argon2Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def digest(token: str) -> str:
    return api_keys.digest(token, PEPPER)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def member_store(database: Database) -> PostgresMemberStore:
    return PostgresMemberStore(database, PostgresAuditLog(database, PEPPER))


@pytest.fixture
def members(member_store: PostgresMemberStore, clock: ManualClock) -> Members:
    return Members(member_store, clock, Random(), PEPPER)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that is a process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "accounts.testing.oidc_provider", "--port", str(port)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest_asyncio.fixture
async def http(issuer: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            try:
                async with session.get(f"{issuer}/keys"):
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
        yield session


@pytest.fixture
def provider(issuer: str, http: aiohttp.ClientSession) -> HttpOidcProvider:
    return HttpOidcProvider(OidcClient(issuer, CLIENT_ID, CLIENT_SECRET, CALLBACK), http, SystemClock())


@pytest.fixture
def sessions(
    database: Database, member_store: PostgresMemberStore, provider: HttpOidcProvider, clock: ManualClock
) -> Sessions:
    return Sessions(
        PostgresSessionStore(database),
        PostgresSignInStore(database),
        member_store,
        QUICK,
        provider,
        clock,
        Random(),
        PEPPER,
    )


class Door:
    """Makes people with accounts."""

    def __init__(self, identity: Identity, members: Members, sessions: Sessions) -> None:
        self._identity = identity
        self._members = members
        self._sessions = sessions

    async def org(self) -> str:
        return str((await self._identity.create_org("Example")).org_id)

    async def invite(self, org_id: str, email: str, role: Role = Role.OWNER) -> str:
        return digest((await self._members.invite(org_id, email, int(role), OPERATOR))[1])

    async def sign_up(self, email: str) -> tuple[str, OpenedSession]:
        org_id = await self.org()
        invitation = await self.invite(org_id, email)
        return org_id, await self._sessions.sign_up(invitation, PASSWORD, "Ada", "", Actor(ip=IP))


@pytest.fixture
def door(identity: Identity, members: Members, sessions: Sessions) -> Door:
    return Door(identity, members, sessions)


async def test_sign_up_and_in_with_a_password(door: Door, sessions: Sessions, sql: asyncpg.Connection) -> None:
    org_id, opened = await door.sign_up("ada@example.com")
    assert (opened.session.user.first_name, opened.session.role) == ("Ada", Role.OWNER)
    again = await sessions.sign_in(" ADA@example.com", PASSWORD, IP)
    assert again.session.org is not None
    assert str(again.session.org.org_id) == org_id
    assert again.session.session_id != opened.session.session_id
    stored = str(await sql.fetch("SELECT * FROM sessions")) + str(await sql.fetch("SELECT * FROM users"))
    for secret in (PASSWORD, opened.token, again.token):
        assert secret not in stored
    assert "$argon2id$" in stored


async def test_s07_nobody_learns_which_accounts_exist(door: Door, sessions: Sessions) -> None:
    await door.sign_up("ada@example.com")
    refusals = set()
    for email, password in (
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
    ):
        with pytest.raises(NotSignedInError) as refused:
            await sessions.sign_in(email, password, IP)
        refusals.add(str(refused.value))
    assert len(refusals) == 1


async def test_failures_are_limited_by_account_and_by_address(
    door: Door, sessions: Sessions, clock: ManualClock
) -> None:
    await door.sign_up("ada@example.com")
    await door.sign_up("bob@example.com")
    # All at once, from many addresses: no more of them are looked at than one after the other would be.
    tries = [
        sessions.sign_in("ada@example.com", "wrong password", f"192.0.2.{n}") for n in range(MAX_ACCOUNT_FAILURES + 5)
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(each) for each in results].count(NotSignedInError) == MAX_ACCOUNT_FAILURES
    with pytest.raises(TooManyAttemptsError) as refused:
        await sessions.sign_in("ada@example.com", PASSWORD, IP)
    assert 0 < refused.value.retry_after_s <= FAILURE_WINDOW.total_seconds() + 1
    await sessions.sign_in("bob@example.com", PASSWORD, IP)
    await clock.advance(FAILURE_WINDOW.total_seconds() + 1)
    await sessions.sign_in("ada@example.com", PASSWORD, IP)

    for number in range(MAX_IP_FAILURES):
        with pytest.raises(NotSignedInError):
            await sessions.sign_in(f"guess-{number}@example.com", PASSWORD, "203.0.113.7")
    with pytest.raises(TooManyAttemptsError):
        await sessions.sign_in("bob@example.com", PASSWORD, "203.0.113.7")
    await sessions.sign_in("bob@example.com", PASSWORD, IP)


async def test_sessions_end_by_age_by_idleness_and_by_leaving(
    door: Door, sessions: Sessions, clock: ManualClock
) -> None:
    _, opened = await door.sign_up("ada@example.com")
    other, third = [await sessions.sign_in("ada@example.com", PASSWORD, IP) for _ in range(2)]
    assert (await sessions.resolve(digest(opened.token))).session_id == opened.session.session_id
    await sessions.end(digest(other.token), everywhere=False)
    with pytest.raises(NotFoundError):
        await sessions.resolve(digest(other.token))
    await sessions.end(digest(opened.token), everywhere=True)
    for token in (opened.token, third.token):
        with pytest.raises(NotFoundError):
            await sessions.resolve(digest(token))

    idle, used = [await sessions.sign_in("ada@example.com", PASSWORD, IP) for _ in range(2)]
    for _ in range(int(SESSION_LIFE / SESSION_IDLE)):
        await clock.advance((SESSION_IDLE - timedelta(minutes=1)).total_seconds())
        await sessions.resolve(digest(used.token))
    with pytest.raises(NotFoundError):
        await sessions.resolve(digest(idle.token))
    await clock.advance((SESSION_IDLE - timedelta(minutes=1)).total_seconds())
    with pytest.raises(NotFoundError):
        await sessions.resolve(digest(used.token))


async def test_a_session_moves_between_organisations_of_its_user_under_a_new_token(
    door: Door, sessions: Sessions, members: Members
) -> None:
    first, opened = await door.sign_up("ada@example.com")
    second, theirs = await door.org(), await door.org()
    member = await members.accept(
        await door.invite(second, "ada@example.com", Role.VIEWER), str(opened.session.user.user_id), OPERATOR
    )
    # Joined at the same moment, so in no order.
    found = {str(each.org_id) for each in (await sessions.resolve(digest(opened.token))).memberships}
    assert found == {first, second}
    moved = await sessions.switch_org(digest(opened.token), second)
    assert moved.session.org is not None
    assert (str(moved.session.org.org_id), moved.session.role) == (second, Role.VIEWER)
    for token in (opened.token,):
        with pytest.raises(NotFoundError):
            await sessions.resolve(digest(token))
    with pytest.raises(NotFoundError):
        await sessions.switch_org(digest(moved.token), theirs)
    await members.remove(second, str(member.user.user_id), OPERATOR)
    left = await sessions.resolve(digest(moved.token))
    assert (left.org, left.role) == (None, None)


async def test_a_new_password_ends_the_other_sessions(door: Door, sessions: Sessions) -> None:
    _, opened = await door.sign_up("ada@example.com")
    other = await sessions.sign_in("ada@example.com", PASSWORD, IP)
    with pytest.raises(NotSignedInError):
        await sessions.change_password(digest(opened.token), "wrong password", "another good one", IP)
    with pytest.raises(InvalidFieldError):
        await sessions.change_password(digest(opened.token), PASSWORD, "short", IP)
    changed = await sessions.change_password(digest(opened.token), PASSWORD, "another good one", IP)
    assert (await sessions.resolve(digest(changed.token))).session_id == opened.session.session_id
    for token in (opened.token, other.token):
        with pytest.raises(NotFoundError):
            await sessions.resolve(digest(token))
    with pytest.raises(NotSignedInError):
        await sessions.sign_in("ada@example.com", PASSWORD, IP)
    await sessions.sign_in("ada@example.com", "another good one", IP)


async def test_whoever_has_an_account_accepts_invitations_signed_in(door: Door, sessions: Sessions) -> None:
    await door.sign_up("ada@example.com")
    invitation = await door.invite(await door.org(), "ada@example.com")
    with pytest.raises(AlreadyExistsError):
        await sessions.sign_up(invitation, "a password of somebody else", "", "", Actor(ip=IP))


async def go(http: aiohttp.ClientSession, url: str, email: str) -> tuple[str, str]:
    """What a browser does with the address, and somebody at the provider: code and state."""
    async with http.get(f"{url}&login_hint={email}", allow_redirects=False) as answer:
        assert answer.status == 302
        where = answer.headers["Location"]
    assert where.startswith(CALLBACK)
    found = parse_qs(urlsplit(where).query)
    return found["code"][0], found["state"][0]


async def test_s03_a_sign_in_with_an_openid_provider_outlives_a_change_of_the_pepper(
    sessions: Sessions,
    database: Database,
    member_store: PostgresMemberStore,
    provider: HttpOidcProvider,
    clock: ManualClock,
    http: aiohttp.ClientSession,
) -> None:
    stores = PostgresSessionStore(database), PostgresSignInStore(database), member_store, QUICK
    changed = Sessions(*stores, provider, clock, Random(), b"another pepper of thirty-two bytes", PEPPER)
    url, state = await sessions.begin_oidc()
    code, _ = await go(http, url, "eve@example.com")
    opened = await changed.finish_oidc(state, code, IP)
    with pytest.raises(NotFoundError):
        await changed.resolve(digest(opened.token))
    assert opened.session.user.email == "eve@example.com"


async def test_sign_in_with_an_openid_provider(
    door: Door, sessions: Sessions, http: aiohttp.ClientSession, issuer: str
) -> None:
    url, state = await sessions.begin_oidc()
    asked = parse_qs(urlsplit(url).query)
    assert (asked["code_challenge_method"], asked["response_type"]) == (["S256"], ["code"])
    code, came_back = await go(http, url, "eve@example.com")
    assert came_back == state
    opened = await sessions.finish_oidc(state, code, IP)
    assert (opened.session.user.email, opened.session.user.first_name) == ("eve@example.com", "Ada")
    assert opened.session.org is None
    # A flow ends once.
    with pytest.raises(NotSignedInError):
        await sessions.finish_oidc(state, code, IP)
    # The same person again, and after the provider began to sign with another key.
    for _ in range(2):
        url, state = await sessions.begin_oidc()
        again = await sessions.finish_oidc(state, (await go(http, url, "eve@example.com"))[0], IP)
        assert again.session.user.user_id == opened.session.user.user_id
    # Whoever had an account with this verified address before keeps it.
    _, ada = await door.sign_up("ada@example.com")
    url, state = await sessions.begin_oidc()
    linked = await sessions.finish_oidc(state, (await go(http, url, "ada@example.com"))[0], IP)
    assert linked.session.user.user_id == ada.session.user.user_id


@pytest.mark.parametrize("person", ["forged", "stranger", "stale", "replayed", "unverified"])
async def test_tokens_that_are_not_ours_open_nothing(
    sessions: Sessions, http: aiohttp.ClientSession, sql: asyncpg.Connection, person: str
) -> None:
    url, state = await sessions.begin_oidc()
    code, _ = await go(http, url, f"{person}@example.com")
    with pytest.raises(NotSignedInError):
        await sessions.finish_oidc(state, code, IP)
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 0


async def test_a_code_of_another_flow_does_not_pass(sessions: Sessions, http: aiohttp.ClientSession) -> None:
    theirs, _ = await sessions.begin_oidc()
    _, ours = await sessions.begin_oidc()
    code, _ = await go(http, theirs, "eve@example.com")
    with pytest.raises(NotSignedInError):
        await sessions.finish_oidc(ours, code, IP)


async def test_keys_of_the_provider_are_fetched_anew(
    issuer: str, http: aiohttp.ClientSession, clock: ManualClock
) -> None:
    provider = HttpOidcProvider(OidcClient(issuer, CLIENT_ID, CLIENT_SECRET, CALLBACK), http, clock)
    for _ in range(2):
        await clock.advance(60)
        url = await provider.authorization_url("state", "nonce", VERIFIER)
        code, _ = await go(http, url, "eve@example.com")
        assert (await provider.identify(code, "nonce", VERIFIER)).email == "eve@example.com"
        async with http.post(f"{issuer}/rotate"):
            pass


async def test_a_provider_that_is_away_or_somebody_else_is_no_bad_sign_in(
    http: aiohttp.ClientSession, issuer: str
) -> None:
    for wrong in ("http://127.0.0.1:9", f"{issuer}/other"):
        provider = HttpOidcProvider(OidcClient(wrong, CLIENT_ID, CLIENT_SECRET, CALLBACK), http, SystemClock())
        with pytest.raises(ProviderUnavailableError):
            await provider.authorization_url("state", "nonce", VERIFIER)
