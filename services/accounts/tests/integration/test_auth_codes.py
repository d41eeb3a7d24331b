"""Codes that are exchanged for keys: PKCE."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import asyncpg
import pytest

from accounts.adapters.postgres.auth_code_store import PostgresAuthCodeStore
from accounts.adapters.postgres.database import Database
from accounts.auth_codes import AuthCodes
from accounts.domain.errors import ForbiddenError, InvalidFieldError
from accounts.domain.people import OPERATOR
from accounts.domain.sessions import challenge_of
from accounts.identity import Identity
from accounts.testing.people import new_member
from contracts import api_keys
from contracts.spend import SpendInterval
from servicekit.testing import ManualClock

PEPPER = b"a pepper of at least thirty-two bytes"
VERIFIER = "v" * 43


def digest(token: str) -> str:
    return api_keys.digest(token, PEPPER)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


async def new_org(identity: Identity) -> str:
    return str((await identity.create_org("Example")).org_id)


@pytest.fixture
def codes(database: Database, identity: Identity, clock: ManualClock) -> AuthCodes:
    return AuthCodes(PostgresAuthCodeStore(database), identity, clock, Random(), PEPPER)


async def make_code(codes: AuthCodes, org_id: str, challenge: str = "", method: str = "") -> str:
    _, secret = await codes.create(org_id, "", "", (challenge, method), "An application", 5, SpendInterval.DAILY, None)
    return digest(secret)


@pytest.mark.parametrize(
    ("challenge", "method"), [(challenge_of(VERIFIER), "S256"), (VERIFIER, "plain"), (VERIFIER, "")]
)
async def test_a_code_gives_one_key_to_whoever_started_the_flow(
    codes: AuthCodes, identity: Identity, challenge: str, method: str
) -> None:
    org_id = await new_org(identity)
    code = await make_code(codes, org_id, challenge, method)
    secret, user_id = await codes.exchange(code, VERIFIER, method, OPERATOR)
    key, _ = await identity.resolve_key(digest(secret))
    assert (str(key.org_id), key.name, key.limit, key.settings.limit_reset) == (
        org_id, "An application", 5, SpendInterval.DAILY,
    )  # fmt: skip
    assert user_id == ""
    with pytest.raises(ForbiddenError):
        await codes.exchange(code, VERIFIER, method, OPERATOR)


async def test_a_code_of_who_has_left_gives_no_key(
    codes: AuthCodes, identity: Identity, sql: asyncpg.Connection
) -> None:
    org_id = await new_org(identity)
    user_id = await new_member(sql, org_id)
    made = [
        (await codes.create(org_id, "", user_id, (VERIFIER, "plain"), "", None, SpendInterval.NEVER, None))[1]
        for _ in range(2)
    ]
    assert (await codes.exchange(digest(made[0]), VERIFIER, "plain", OPERATOR))[1] == user_id
    await sql.execute("DELETE FROM members WHERE user_id = $1", UUID(user_id))
    with pytest.raises(ForbiddenError):
        await codes.exchange(digest(made[1]), VERIFIER, "plain", OPERATOR)


async def test_a_wrong_verifier_uses_the_code_up_and_codes_end(
    codes: AuthCodes, identity: Identity, clock: ManualClock
) -> None:
    org_id = await new_org(identity)
    for verifier in ("w" * 43, "", VERIFIER + "v"):
        code = await make_code(codes, org_id, challenge_of(VERIFIER), "S256")
        with pytest.raises(ForbiddenError):
            await codes.exchange(code, verifier, "S256", OPERATOR)
        with pytest.raises(ForbiddenError):
            await codes.exchange(code, VERIFIER, "S256", OPERATOR)
    downgraded = await make_code(codes, org_id, challenge_of(VERIFIER), "S256")
    with pytest.raises(InvalidFieldError):
        await codes.exchange(downgraded, challenge_of(VERIFIER), "plain", OPERATOR)
    late = await make_code(codes, org_id)
    await clock.advance(601)
    with pytest.raises(ForbiddenError):
        await codes.exchange(late, "", "", OPERATOR)


async def test_of_many_who_exchange_a_code_at_once_one_gets_a_key(codes: AuthCodes, identity: Identity) -> None:
    code = await make_code(codes, await new_org(identity), challenge_of(VERIFIER), "S256")
    results = await asyncio.gather(
        *(codes.exchange(code, VERIFIER, "S256", OPERATOR) for _ in range(8)), return_exceptions=True
    )
    assert [type(each) for each in results].count(tuple) == 1


@pytest.mark.parametrize(
    ("challenge", "method"), [("short", "S256"), (VERIFIER, "S512"), ("", "S256"), ("ü" * 43, "plain")]
)
async def test_challenges_that_cannot_be_are_refused(
    codes: AuthCodes, identity: Identity, challenge: str, method: str
) -> None:
    with pytest.raises(InvalidFieldError):
        await make_code(codes, await new_org(identity), challenge, method)


async def test_a_code_is_for_a_workspace_of_the_organisation(codes: AuthCodes, identity: Identity) -> None:
    ours, theirs = await new_org(identity), await new_org(identity)
    with pytest.raises(InvalidFieldError) as refused:
        await codes.create(ours, theirs, "", ("", ""), "", None, SpendInterval.NEVER, None)
    assert refused.value.field == "workspace_id"
    assert UUID(ours) != UUID(theirs)
