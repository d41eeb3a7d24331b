"""Contents and feedback over gRPC, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from accounts.adapters.content_sealing import AesContentSealing
from accounts.adapters.postgres.content_store import PostgresContentStore
from accounts.adapters.postgres.database import Database
from accounts.api.content_service import SERVICE_NAME, ContentServicer
from accounts.contents import Contents
from accounts.domain.contents import MAX_FEEDBACK
from accounts.domain.errors import NotFoundError
from accounts.testing import NewCustomer
from servicekit.testing import ManualClock, run_servicer, running
from turnpike.accounts.v1 import content_service_pb2 as messages
from turnpike.accounts.v1.content_service_pb2_grpc import ContentServiceStub, add_ContentServiceServicer_to_server

SECRET = b"a secret of at least thirty-two bytes"
GENERATION = "gen-1790000000-aaaaaaaaaaaaaaaaaaaa"
CONTENT = b'{"input":{"messages":[{"role":"user","content":"a canary"}]}}'
TTL = timedelta(days=90)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def contents(database: Database, clock: ManualClock) -> Contents:
    sealing = AesContentSealing(SECRET)
    return Contents(PostgresContentStore(database), sealing, clock, ttl=TTL, interval=timedelta(minutes=10))


@pytest.fixture
async def stub(contents: Contents) -> AsyncIterator[ContentServiceStub]:
    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_ContentServiceServicer_to_server(ContentServicer(contents), server)
        return [SERVICE_NAME]

    async with run_servicer(register) as channel:
        yield ContentServiceStub(channel)


def keep(org_id: UUID, key_id: UUID, generation_id: str = GENERATION) -> messages.KeepContentRequest:
    return messages.KeepContentRequest(
        org_id=str(org_id), key_id=str(key_id), generation_id=generation_id, content_json=CONTENT
    )


def get(org_id: UUID, key_id: UUID | None = None) -> messages.GetContentRequest:
    return messages.GetContentRequest(
        org_id=str(org_id), generation_id=GENERATION, key_id=str(key_id) if key_id else ""
    )


async def code_of(call: Awaitable[object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_s46_what_is_kept_is_encrypted_and_comes_back_whole(
    stub: ContentServiceStub, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, key_id = await new_customer()
    await stub.KeepContent(keep(org_id, key_id))
    await stub.KeepContent(keep(org_id, key_id))
    assert (await stub.GetContent(get(org_id))).content_json == CONTENT
    assert (await stub.GetContent(get(org_id, key_id))).content_json == CONTENT
    (row,) = await sql.fetch("SELECT sealed FROM generation_contents")
    assert b"canary" not in row["sealed"]


async def test_s09_a_content_is_its_organisations_and_where_it_is_said_its_keys(
    stub: ContentServiceStub, new_customer: NewCustomer
) -> None:
    org_id, key_id = await new_customer()
    other, _ = await new_customer()
    await stub.KeepContent(keep(org_id, key_id))
    assert await code_of(stub.GetContent(get(other))) is grpc.StatusCode.NOT_FOUND
    assert await code_of(stub.GetContent(get(org_id, uuid4()))) is grpc.StatusCode.NOT_FOUND
    assert await code_of(stub.KeepContent(keep(uuid4(), key_id, "gen-1-bbbbbbbbbbbbbbbbbbbb"))) is (
        grpc.StatusCode.NOT_FOUND
    )


async def test_s46_a_content_whose_time_is_over_is_not_given_out_and_then_deleted(
    stub: ContentServiceStub, contents: Contents, clock: ManualClock, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, key_id = await new_customer()
    await stub.KeepContent(keep(org_id, key_id))
    await clock.advance(TTL.total_seconds() - 1)
    assert (await stub.GetContent(get(org_id))).content_json == CONTENT
    await clock.advance(1)
    assert await code_of(stub.GetContent(get(org_id))) is grpc.StatusCode.NOT_FOUND
    async with running(contents):
        for _ in range(1_000):
            if await sql.fetchval("SELECT count(*) FROM generation_contents") == 0:
                break
            await asyncio.sleep(0.02)
    assert await sql.fetchval("SELECT count(*) FROM generation_contents") == 0


async def test_without_a_secret_nothing_is_kept(database: Database, new_customer: NewCustomer) -> None:
    org_id, key_id = await new_customer()
    contents = Contents(PostgresContentStore(database), None, ManualClock(), ttl=TTL, interval=TTL)
    servicer = ContentServicer(contents)

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_ContentServiceServicer_to_server(servicer, server)
        return [SERVICE_NAME]

    async with run_servicer(register) as channel:
        assert await code_of(ContentServiceStub(channel).KeepContent(keep(org_id, key_id))) is (
            grpc.StatusCode.INVALID_ARGUMENT
        )


def test_s21_what_is_sealed_for_one_organisation_opens_for_no_other() -> None:
    sealing, org_id = AesContentSealing(SECRET), uuid4()
    sealed = sealing.seal(org_id, GENERATION, CONTENT)
    assert sealing.unseal(org_id, GENERATION, sealed) == CONTENT
    assert sealing.seal(org_id, GENERATION, CONTENT) != sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for cipher, org, name, data in (
        (sealing, uuid4(), GENERATION, sealed),
        (sealing, org_id, "gen-1-bbbbbbbbbbbbbbbbbbbb", sealed),
        (sealing, org_id, GENERATION, changed),
        (sealing, org_id, GENERATION, b""),
        (AesContentSealing(b"another secret of thirty-two bytes!!"), org_id, GENERATION, sealed),
    ):
        with pytest.raises(NotFoundError):
            cipher.unseal(org, name, data)


async def test_feedback_is_kept_and_bounded(
    stub: ContentServiceStub, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()

    def submit(category: str = "latency", comment: str = "slow") -> messages.SubmitFeedbackRequest:
        return messages.SubmitFeedbackRequest(
            org_id=str(org_id), generation_id=GENERATION, category=category, comment=comment
        )

    for _ in range(MAX_FEEDBACK):
        await stub.SubmitFeedback(submit())
    assert await code_of(stub.SubmitFeedback(submit())) is grpc.StatusCode.ALREADY_EXISTS
    assert await sql.fetchval("SELECT count(*) FROM generation_feedback") == MAX_FEEDBACK
    assert await code_of(stub.SubmitFeedback(submit("praise"))) is grpc.StatusCode.INVALID_ARGUMENT
    assert await code_of(stub.SubmitFeedback(submit(comment="x" * 1_001))) is grpc.StatusCode.INVALID_ARGUMENT
