"""Presets over gRPC, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from uuid import uuid4

import grpc
import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.preset_store import PostgresPresetStore
from accounts.api.preset_service import SERVICE_NAME, PresetServicer
from accounts.domain.presets import MAX_CONFIG_BYTES
from accounts.presets import Presets
from accounts.testing import NewCustomer
from servicekit.clock import SystemClock
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import preset_service_pb2 as messages
from turnpike.accounts.v1.preset_service_pb2_grpc import PresetServiceStub, add_PresetServiceServicer_to_server


@pytest.fixture
async def stub(database: Database, audit: PostgresAuditLog) -> AsyncIterator[PresetServiceStub]:
    servicer = PresetServicer(Presets(PostgresPresetStore(database, audit), SystemClock(), Random()))

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_PresetServiceServicer_to_server(servicer, server)
        return [SERVICE_NAME]

    async with run_servicer(register) as channel:
        yield PresetServiceStub(channel)


def save(
    org_id: object, slug: str = "mail", config: bytes = b'{"model":"acme/one"}', **members: str
) -> messages.SavePresetRequest:
    return messages.SavePresetRequest(org_id=str(org_id), slug=slug, config_json=config, creator_id="key-1", **members)


async def test_each_save_is_a_version_and_the_newest_is_the_designated_one(
    stub: PresetServiceStub, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    first = (await stub.SavePreset(save(org_id, system_prompt="Be brief."))).preset
    second = (await stub.SavePreset(save(org_id, config=b'{"model":"acme/two"}'))).preset
    assert (first.designated.version, second.designated.version) == (1, 2)
    assert second.preset_id == first.preset_id
    got = (await stub.GetPreset(messages.GetPresetRequest(org_id=str(org_id), slug="mail"))).preset
    assert got == second
    assert not got.designated.HasField("system_prompt")
    old = await stub.GetPresetVersion(messages.GetPresetVersionRequest(org_id=str(org_id), slug="mail", version=1))
    assert old.version == first.designated
    listed = await stub.ListPresetVersions(messages.ListPresetVersionsRequest(org_id=str(org_id), slug="mail", limit=1))
    assert (listed.total_count, [each.version for each in listed.versions]) == (2, [1])


async def test_presets_are_listed_with_the_last_changed_first(
    stub: PresetServiceStub, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    for slug in ("a", "b", "a"):
        await stub.SavePreset(save(org_id, slug))
    page = await stub.ListPresets(messages.ListPresetsRequest(org_id=str(org_id)))
    assert ([preset.slug for preset in page.presets], page.total_count) == (["a", "b"], 2)


async def test_two_who_save_at_once_make_two_versions(stub: PresetServiceStub, new_customer: NewCustomer) -> None:
    org_id, _ = await new_customer()
    answers = await asyncio.gather(*(stub.SavePreset(save(org_id)) for _ in range(4)))
    assert sorted(answer.preset.designated.version for answer in answers) == [1, 2, 3, 4]


async def test_s09_a_preset_of_another_organisation_does_not_exist(
    stub: PresetServiceStub, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    other, _ = await new_customer()
    await stub.SavePreset(save(org_id))
    for call in (
        stub.GetPreset(messages.GetPresetRequest(org_id=str(other), slug="mail")),
        stub.ListPresetVersions(messages.ListPresetVersionsRequest(org_id=str(other), slug="mail")),
        stub.GetPresetVersion(messages.GetPresetVersionRequest(org_id=str(other), slug="mail", version=1)),
        stub.SavePreset(save(uuid4())),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("slug", "config"),
    [
        ("", b"{}"),
        ("a/b", b"{}"),
        ("-a", b"{}"),
        ("a" * 65, b"{}"),
        ("a", b"[]"),
        ("a", b"{"),
        ("a", b'{"a":"' + b"x" * MAX_CONFIG_BYTES + b'"}'),
    ],
)
async def test_what_is_no_preset_is_refused(
    stub: PresetServiceStub, new_customer: NewCustomer, slug: str, config: bytes
) -> None:
    org_id, _ = await new_customer()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SavePreset(save(org_id, slug, config))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
