"""The first organisation and its keys, made through a real accounts on a real database."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from decimal import Decimal
from random import Random

import grpc
import pytest
import pytest_asyncio

from contracts import api_keys
from localstack import postgres
from localstack.brokers import embedded
from localstack.credentials import Credentials, ensure_credentials, read_credentials
from localstack.errors import AccountsUnusableError
from localstack.ports import free_ports
from localstack.processes import Installation, choose_ports
from localstack.secret_files import load_secrets
from localstack.settings import inherited_environment
from localstack.state import StateDir
from localstack.supervisor import Supervisor
from localstack.testing import RecordingReport, supervised
from turnpike.accounts.v1 import key_service_pb2, key_service_pb2_grpc, org_service_pb2, org_service_pb2_grpc

CREDIT = Decimal("2.50")
CREDIT_NANO = 2_500_000_000


@pytest_asyncio.fixture
async def installation(state: StateDir, report: RecordingReport) -> AsyncIterator[Installation]:
    """An installation of which accounts runs, with what it needs."""
    secrets = load_secrets(state.secrets, ())
    ports = choose_ports(0, Random())
    made = Installation(
        state=state,
        secrets=secrets,
        ports=ports,
        database=await postgres.prepare(state.postgres, secrets.postgres_password),
        broker=embedded(ports.main["broker"]),
        catalogs=(),
        weights=None,
        embeds=False,
        threads=1,
        probe_interval=None,
        inherited=inherited_environment(),
    )
    wanted = [spec for spec in made.specs() if spec.name in {"postgres", "broker", "accounts"}]
    async with supervised(Supervisor(wanted, report)):
        yield made


async def ensure(installation: Installation, credit: Decimal = CREDIT) -> Credentials:
    return await ensure_credentials(
        installation.ports.address("accounts"),
        installation.state.credentials_file,
        installation.secrets.pepper,
        credit,
    )


async def credits_of(installation: Installation, org_id: str) -> int:
    async with grpc.aio.insecure_channel(installation.ports.address("accounts")) as channel:
        orgs = org_service_pb2_grpc.OrgServiceStub(channel)
        answer = await orgs.GetCredits(org_service_pb2.GetCreditsRequest(org_id=org_id))
        return int(answer.total_credits_nano_usd)


async def delete_key(installation: Installation, org_id: str, secret: str) -> None:
    async with grpc.aio.insecure_channel(installation.ports.address("accounts")) as channel:
        keys = key_service_pb2_grpc.KeyServiceStub(channel)
        digest = api_keys.digest(secret, installation.secrets.pepper.encode())
        await keys.DeleteKey(key_service_pb2.DeleteKeyRequest(org_id=org_id, digest=digest))


async def test_credentials_are_made_once_kept_and_repaired(installation: Installation) -> None:
    file = installation.state.credentials_file
    made = await ensure(installation)
    assert api_keys.parse(made.api_key) is api_keys.ApiKeyKind.INFERENCE
    assert api_keys.parse(made.management_key) is api_keys.ApiKeyKind.MANAGEMENT
    assert await credits_of(installation, made.org_id) == CREDIT_NANO
    assert read_credentials(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert await ensure(installation, Decimal(99)) == made
    assert await credits_of(installation, made.org_id) == CREDIT_NANO

    await delete_key(installation, made.org_id, made.api_key)
    repaired = await ensure(installation)
    assert repaired.org_id == made.org_id
    assert repaired.management_key == made.management_key
    assert repaired.api_key != made.api_key
    assert await credits_of(installation, made.org_id) == CREDIT_NANO

    # A start that was cut short after the organisation: it is used, and has its credit once.
    file.write_text(f'{{"org_id": "{made.org_id}"}}')
    resumed = await ensure(installation)
    assert resumed.org_id == made.org_id
    assert await credits_of(installation, made.org_id) == CREDIT_NANO

    # The database of another installation: everything is new.
    file.write_text('{"org_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "api_key": "", "management_key": ""}')
    other = await ensure(installation, Decimal(0))
    assert other.org_id != made.org_id
    assert await credits_of(installation, other.org_id) == 0


async def test_refusal_of_accounts_is_one_line(installation: Installation) -> None:
    with pytest.raises(AccountsUnusableError, match=r"^accounts does not give an organisation and keys: .*1000000"):
        await ensure(installation, Decimal(2_000_000))


async def test_accounts_that_does_not_answer_is_one_line(state: StateDir) -> None:
    target = f"127.0.0.1:{free_ports(1, Random())[0]}"
    with pytest.raises(AccountsUnusableError, match="accounts does not give an organisation and keys"):
        await ensure_credentials(target, state.credentials_file, "p" * 32, CREDIT, patience_s=0)
