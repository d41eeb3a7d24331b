"""Two peppers at a time: what the authenticator knows and asks of a key that was made under the previous one (S3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc
import pytest
from opentelemetry.metrics import NoOpMeter

from contracts import api_keys
from edge.adapters.control_plane import GrpcControlPlane
from edge.domain.errors import CredentialError, DependencyError, EdgeError, InvalidKeyError, NotFoundError
from edge.key_moves import KeyMoves
from edge.session_tokens import SessionTokens
from edge.testing.accounts import PEPPER, PREVIOUS_PEPPER, MemoryAccounts
from edge.testing.key_bench import KeyBench, key_bench
from edge.testing.waiting import eventually
from servicekit.testing import ManualClock


def bench(**trust: float) -> KeyBench:
    return key_bench(pepper=PREVIOUS_PEPPER, previous_pepper=PREVIOUS_PEPPER, **trust)


def names(made: KeyBench) -> tuple[str, str]:
    """The digests of the key under the previous and the current pepper."""
    return made.record.digest, api_keys.digest(made.secret, PEPPER)


async def test_s03_without_a_previous_pepper_a_key_under_another_one_is_unknown() -> None:
    made = key_bench(pepper=PREVIOUS_PEPPER)
    made.publish()
    with pytest.raises(InvalidKeyError):
        await made.call()
    assert made.moves == []


@pytest.mark.parametrize("is_published", [True, False])
async def test_s03_a_key_under_the_previous_pepper_works_and_is_to_move(is_published: bool) -> None:
    made = bench()
    if is_published:
        made.publish()
    for _ in range(3):
        assert (await made.call()).key == made.key
    # One question about both digests at most.
    assert len(made.accounts.asked) == (0 if is_published else 1)
    assert made.moves == [names(made)] * 3


async def test_s03_an_unknown_key_is_one_question_and_stays_unknown_until_there_is_news_of_either_digest() -> None:
    made = bench()
    made.revoke()
    for _ in range(3):
        with pytest.raises(InvalidKeyError):
            await made.call()
    assert len(made.accounts.asked) == 1
    made.accounts.keys[made.record.digest] = made.record
    made.authenticator.forget(made.record.digest)
    assert (await made.call()).key == made.key
    assert len(made.accounts.asked) == 2


async def test_s03_who_waits_for_one_key_asks_once_and_news_of_the_previous_digest_overtake_the_answer() -> None:
    made = bench()
    gate = asyncio.Event()
    made.accounts.gate = gate.wait

    async def is_refused() -> None:
        with pytest.raises(InvalidKeyError):
            await made.call()

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(is_refused())
        await eventually(lambda: len(made.accounts.asked) == 1)
        # Until here the owner of the keys would have answered that there is one.
        made.bury()
        made.revoke()
        gate.set()
    assert set(made.accounts.asked) == {names(made)[1]}


async def test_s03_a_key_under_the_previous_pepper_outlives_an_outage_and_no_longer() -> None:
    made = bench(stale_s=900.0)
    await made.call()
    made.accounts.down = True
    await made.clock.advance(900.0)
    assert (await made.call()).key == made.key
    await made.clock.advance(100.0)
    with pytest.raises(DependencyError):
        await made.call()


@pytest.mark.parametrize("known_by", ["directory", "answer"])
async def test_s03_a_key_is_revoked_by_its_previous_digest(known_by: str) -> None:
    made = bench()
    if known_by == "directory":
        made.publish()
    await made.call()
    made.revoke()
    made.bury()
    with pytest.raises(CredentialError):
        await made.call()


async def test_s03_a_key_that_moved_is_known_throughout_and_a_late_directory_does_not_bring_it_back() -> None:
    made = bench()
    old = made.publish()
    previous, digest = names(made)
    made.record.revision += 1
    made.record.lookup_digest = digest
    # The tombstone comes before the record.
    made.bury(previous)
    assert (await made.call()).key == made.key
    # A directory that lags has the key as it was: who asks learns that nothing has that name any more.
    made.directory.keys[previous] = old
    assert (await made.call()).key.looked_up_by == digest
    made.publish()
    assert (await made.call()).key.looked_up_by == digest
    assert made.moves == []
    made.revoke()
    made.bury(digest)
    made.bury(previous)
    with pytest.raises(CredentialError):
        await made.call()
    assert made.key.digest == previous, "its public hash is what it was"


class TestKeyMoves:
    """What has keys moved beside the requests."""

    async def test_s03_keys_move_once_and_an_outage_loses_none(self) -> None:
        accounts, clock = MemoryAccounts(), ManualClock()
        org_id = accounts.add_org().org_id
        moves = KeyMoves(accounts, clock, NoOpMeter("test"))
        made = [accounts.add_key(org_id, pepper=PREVIOUS_PEPPER) for _ in range(250)]
        accounts.down = True
        for secret, record in made:
            moves.note(record.digest, api_keys.digest(secret, PEPPER))
        with pytest.raises(EdgeError):
            await moves.move_waiting()
        accounts.down = False
        await moves.move_waiting()
        assert all(record.lookup_digest == api_keys.digest(secret, PEPPER) for secret, record in made)
        # Noted once more before the directory knows: nothing is asked.
        secret, record = made[0]
        moves.note(record.digest, api_keys.digest(secret, PEPPER))
        await moves.move_waiting()
        assert {record.revision for _, record in made} == {2}

    async def test_a_key_that_is_still_used_by_its_previous_digest_is_asked_about_again(self) -> None:
        accounts, clock = MemoryAccounts(), ManualClock()
        moves = KeyMoves(accounts, clock, NoOpMeter("test"))
        secret, record = accounts.add_key(accounts.add_org().org_id, pepper=PREVIOUS_PEPPER)
        moves.note("0" * 64, "1" * 64)
        await moves.move_waiting()
        record.lookup_digest = "0" * 64
        moves.note("0" * 64, api_keys.digest(secret, PEPPER))
        await moves.move_waiting()
        assert record.lookup_digest == "0" * 64
        await clock.advance(61.0)
        await moves.move_waiting()
        moves.note("0" * 64, api_keys.digest(secret, PEPPER))
        await moves.move_waiting()
        assert record.lookup_digest == api_keys.digest(secret, PEPPER)


async def test_s03_a_token_is_asked_about_under_both_peppers_only_where_there_are_two() -> None:
    asked: list[str] = []

    async def ask(digest: str) -> str:
        asked.append(digest)
        if digest != api_keys.digest("known", PREVIOUS_PEPPER):
            raise NotFoundError(f"answer {len(asked)}")
        return digest

    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    plane = GrpcControlPlane(channel, timedelta(seconds=1))
    both = SessionTokens(plane, PEPPER, secure=True, previous_pepper=PREVIOUS_PEPPER)
    assert await both.known_as("known", ask) == api_keys.digest("known", PREVIOUS_PEPPER)
    with pytest.raises(NotFoundError, match="answer 3"):
        await both.known_as("unknown", ask)
    asked.clear()
    with pytest.raises(NotFoundError):
        await SessionTokens(plane, PEPPER, secure=True).known_as("known", ask)
    assert asked == [api_keys.digest("known", PEPPER)]
    await channel.close()
