"""What every KeyLookup and every KeyMover does while there are two peppers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import grpc
import pytest

from contracts import api_keys
from edge.adapters.accounts_client import GrpcKeyMover
from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.key_moves import KeyMover
from edge.ports import KeyLookup
from edge.testing.accounts import PEPPER, PREVIOUS_PEPPER, MemoryAccounts
from edge.testing.servicers import register_accounts
from servicekit.testing import run_servicer

TIMEOUT = timedelta(seconds=5)
NO_DIGEST = "0" * 64


@pytest.fixture
async def channel(accounts: MemoryAccounts, opened: AsyncExitStack) -> grpc.aio.Channel:
    return await opened.enter_async_context(run_servicer(lambda server: register_accounts(server, accounts)))


@pytest.fixture
def mover(kind: str, accounts: MemoryAccounts, channel: grpc.aio.Channel) -> KeyMover:
    """An implementation."""
    return accounts if kind == "double" else GrpcKeyMover(channel, TIMEOUT, PEPPER, PREVIOUS_PEPPER)


async def test_s03_a_key_is_found_by_whichever_of_its_digests_it_has_and_moves_once(
    mover: KeyMover, lookup: KeyLookup, accounts: MemoryAccounts
) -> None:
    secret, record = accounts.add_key(accounts.add_org().org_id, pepper=PREVIOUS_PEPPER)
    digest = api_keys.digest(secret, PEPPER)
    key, _ = await lookup.resolve(digest, record.digest)
    assert key.looked_up_by == key.digest == record.digest
    moves = {record.digest: digest, NO_DIGEST: "1" * 64}
    assert [await mover.move(moves) for _ in range(2)] == [1, 0]
    key, _ = await lookup.resolve(digest, record.digest)
    assert (key.looked_up_by, key.digest, key.revision) == (digest, record.digest, 2)
    for gone in (record.digest, NO_DIGEST):
        with pytest.raises(NotFoundError):
            await lookup.resolve(gone)
    accounts.down = True
    with pytest.raises(DependencyError):
        await mover.move(moves)


async def test_s03_keys_do_not_move_between_other_peppers(channel: grpc.aio.Channel, accounts: MemoryAccounts) -> None:
    _, record = accounts.add_key(accounts.add_org().org_id, pepper=PREVIOUS_PEPPER)
    with pytest.raises(RefusedError):
        await GrpcKeyMover(channel, TIMEOUT, PREVIOUS_PEPPER, PEPPER).move({record.digest: NO_DIGEST})
    assert record.revision == 1
