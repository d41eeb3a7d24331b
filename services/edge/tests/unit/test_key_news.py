"""What news of keys change: the routing reference's statements A5 and A6."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from edge.domain.errors import (
    DisabledKeyError,
    ExpiredKeyError,
    InvalidKeyError,
)
from edge.domain.principal import Key, Org
from edge.testing.accounts import known_org
from edge.testing.key_bench import NOW_MS, KeyBench, key_bench
from edge.testing.waiting import eventually
from turnpike.accounts.v1 import records_pb2


async def test_a5_a_disabled_key_is_refused_as_soon_as_that_is_published() -> None:
    made = key_bench()
    made.publish()
    await made.call()
    made.record.disabled, made.record.revision = True, 2
    made.publish()
    with pytest.raises(DisabledKeyError):
        await made.call()


async def test_a5_a_deleted_key_is_refused_as_soon_as_that_is_published() -> None:
    made = key_bench()
    await made.call()
    made.publish()
    made.revoke()
    made.bury()
    with pytest.raises(InvalidKeyError):
        await made.call()


async def test_a5_without_a_bus_a_deleted_key_is_refused_within_the_fresh_time() -> None:
    made = key_bench()
    made.publish()
    made.revoke()
    made.directory.age = 67.0
    with pytest.raises(InvalidKeyError):
        await made.call()
    # The directory still has it, and is late: it does not win over the answer, even when it looks current again.
    made.directory.age = 0.0
    with pytest.raises(InvalidKeyError):
        await made.call()
    await made.clock.advance(10.0)
    with pytest.raises(InvalidKeyError):
        await made.call()


async def test_a5_old_news_do_not_bring_an_older_state_back() -> None:
    made = key_bench()
    enabled = records_pb2.KeyRecord()
    enabled.CopyFrom(made.record)
    made.record.disabled, made.record.revision = True, 5
    with pytest.raises(DisabledKeyError):
        await made.call()
    for revision in (3, 4):
        enabled.revision = revision
        made.publish(enabled)
        with pytest.raises(DisabledKeyError):
            await made.call()
    enabled.revision = 6
    made.publish(enabled)
    assert (await made.call()).key.revision == 6


async def test_a5_an_answer_that_the_directory_overtook_is_not_used() -> None:
    made = key_bench()
    gate = asyncio.Event()
    made.accounts.gate = gate.wait
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(_result(made))
        await eventually(lambda: made.accounts.asked)
        # The answer under way says "unknown", because it was given before the key was made.
        made.revoke()
        made.publish()
        gate.set()
    assert call.result() == made.key


async def test_a5_a_key_that_was_unknown_works_as_soon_as_it_is_published() -> None:
    made = key_bench()
    made.revoke()
    with pytest.raises(InvalidKeyError):
        await made.call()
    made.publish()
    assert (await made.call()).key == made.key


async def test_a6_a_directory_from_a_snapshot_serves_while_nobody_answers() -> None:
    made = key_bench()
    made.accounts.down = True
    made.publish()
    made.directory.age = 600.0
    assert (await made.call()).key == made.key


async def test_an_expired_key_is_refused_from_the_instant_on() -> None:
    made = key_bench()
    made.record.expires_at.FromMilliseconds(NOW_MS)
    made.publish()
    await made.call(now_ms=NOW_MS - 1)
    with pytest.raises(ExpiredKeyError):
        await made.call(now_ms=NOW_MS)


async def test_the_newest_state_of_an_organisation_is_used() -> None:
    made = key_bench()
    await made.call()
    published: Org = dataclasses.replace(known_org(made.org), active=False, revision=9)
    made.directory.orgs[made.org.org_id] = published
    assert (await made.call()).org == published
    made.directory.orgs[made.org.org_id] = dataclasses.replace(published, revision=0)
    assert (await made.call()).org == known_org(made.org)


async def test_a_key_whose_organisation_is_not_published_is_asked_about() -> None:
    made = key_bench()
    made.publish()
    made.directory.orgs.clear()
    assert (await made.call()).org == known_org(made.org)
    assert len(made.accounts.asked) == 1


async def test_what_is_remembered_is_bounded() -> None:
    made = key_bench(entries=2)
    keys = [made.secret, *(made.accounts.add_key(made.org.org_id)[0] for _ in range(2))]
    for key in keys:
        await made.call(key)
    await made.call(keys[2])
    assert len(made.accounts.asked) == 3
    await made.call(keys[0])
    assert len(made.accounts.asked) == 4


async def _result(made: KeyBench) -> Key:
    return (await made.call()).key
