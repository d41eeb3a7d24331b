"""Who calls, by memory and by question: the routing reference's statements A1 to A4 on keys."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from contracts import api_keys
from edge.domain.errors import (
    CredentialError,
    DependencyError,
    InvalidKeyError,
    MissingCredentialError,
)
from edge.domain.principal import Principal
from edge.testing.accounts import PEPPER, known_org
from edge.testing.key_bench import NOW_MS, key_bench
from edge.testing.waiting import eventually


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic abc", "Token x", "Bearer\tx"])
async def test_no_bearer_token_is_said_so(header: str | None) -> None:
    with pytest.raises(MissingCredentialError):
        await key_bench().authenticator.authenticate(header, NOW_MS)


async def test_s02_a_bad_check_sum_is_refused_before_any_look_up() -> None:
    made = key_bench()
    last = made.secret[-1]
    wrong = made.secret[:-1] + ("a" if last != "a" else "b")
    for token in (wrong, made.secret[:-1], made.secret + "a", "tp_live_", "x", made.secret.upper(), " "):
        with pytest.raises((InvalidKeyError, MissingCredentialError)):
            await made.call(token)
    assert made.accounts.asked == []


async def test_s04_a_key_is_looked_up_by_its_whole_digest() -> None:
    made = key_bench()
    made.publish()
    principal = await made.call()
    assert principal.key.digest == api_keys.digest(made.secret, PEPPER)
    # Another key with the same first characters is another key.
    other, record = made.accounts.add_key(made.org.org_id)
    assert (await made.call(other)).key.key_id == record.key_id
    assert made.accounts.asked == [record.digest]


async def test_s07_a_caller_cannot_tell_unknown_from_revoked_from_malformed() -> None:
    made = key_bench()
    unknown = api_keys.generate(api_keys.ApiKeyKind.INFERENCE, Random(7))
    made.revoke()
    errors = []
    for token in (unknown, made.secret, "tp_live_x"):
        with pytest.raises(CredentialError) as raised:
            await made.call(token)
        errors.append((type(raised.value), str(raised.value)))
    assert len(set(errors)) == 1


async def test_the_scheme_is_read_whatever_its_case() -> None:
    made = key_bench()
    principal = await made.authenticator.authenticate(f"bEARER   {made.secret} ", NOW_MS)
    assert principal.key == made.key


async def test_a1_a_published_key_is_used_without_a_question() -> None:
    made = key_bench()
    key = made.publish()
    for _ in range(3):
        assert await made.call() == Principal(key, known_org(made.org))
    assert made.accounts.asked == []


async def test_a1_a_published_key_is_confirmed_when_the_directory_is_no_longer_current() -> None:
    made = key_bench(fresh_s=60.0)
    made.publish()
    made.directory.age = 53.0
    await made.call()
    assert made.accounts.asked == []
    made.directory.age = 67.0
    await made.call()
    await made.call()
    assert len(made.accounts.asked) == 1


async def test_a1_an_answer_is_used_for_a_minute_and_then_asked_for_again() -> None:
    made = key_bench()
    await made.call()
    await made.clock.advance(53.0)
    await made.call()
    assert len(made.accounts.asked) == 1
    await made.clock.advance(14.0)
    await made.call()
    assert len(made.accounts.asked) == 2


async def test_a1_keys_do_not_all_become_stale_at_once() -> None:
    made = key_bench()
    keys = [made.accounts.add_key(made.org.org_id)[0] for _ in range(100)]
    for key in keys:
        await made.call(key)
    asked: list[int] = []
    for _ in range(14):
        await made.clock.advance(1.0 if asked else 54.0)
        before = len(made.accounts.asked)
        for key in keys:
            await made.call(key)
        asked.append(len(made.accounts.asked) - before)
    assert sum(asked) == 100
    assert max(asked) < 40


@pytest.mark.parametrize("known_by", ["directory", "answer"])
async def test_a1_a_known_key_works_for_a_quarter_of_an_hour_when_nobody_answers(known_by: str) -> None:
    made = key_bench(stale_s=900.0)
    if known_by == "directory":
        made.publish()
    else:
        await made.call()
    made.accounts.down = True
    # Fresh for 54 to 66 s, and a quarter of an hour after that.
    for seconds in (100.0, 400.0, 453.0):
        await made.clock.advance(seconds)
        made.directory.age += seconds
        assert (await made.call()).key == made.key
    await made.clock.advance(20.0)
    made.directory.age += 20.0
    with pytest.raises(DependencyError):
        await made.call()
    made.accounts.down = False
    assert (await made.call()).key == made.key


async def test_a1_an_unanswered_question_is_not_repeated_for_a_while() -> None:
    made = key_bench(retry_s=5.0)
    await made.call()
    made.accounts.down = True
    await made.clock.advance(100.0)
    asked = len(made.accounts.asked)
    for _ in range(10):
        await made.call()
    assert len(made.accounts.asked) == asked + 1
    await made.clock.advance(5.1)
    await made.call()
    assert len(made.accounts.asked) == asked + 2


async def test_a1_an_unknown_key_stays_unknown_for_a_few_seconds() -> None:
    made = key_bench(negative_s=5.0)
    made.revoke()
    for _ in range(5):
        with pytest.raises(InvalidKeyError):
            await made.call()
    assert len(made.accounts.asked) == 1
    # Jittered by a fifth: not before 4 s, and certainly after 6.
    await made.clock.advance(3.9)
    with pytest.raises(InvalidKeyError):
        await made.call()
    assert len(made.accounts.asked) == 1
    made.accounts.keys[made.record.digest] = made.record
    await made.clock.advance(2.2)
    assert (await made.call()).key == made.key


async def test_a2_many_requests_with_one_unknown_key_are_one_question() -> None:
    made = key_bench()
    gate = asyncio.Event()
    made.accounts.gate = gate.wait
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(made.call()) for _ in range(50)]
        await eventually(lambda: made.accounts.asked)
        gate.set()
    assert {call.result().key.key_id for call in calls} == {made.record.key_id}
    assert len(made.accounts.asked) == 1


async def test_a2_questions_at_the_same_time_are_bounded() -> None:
    made = key_bench(lookups=4)
    gate, waiting, most = asyncio.Event(), 0, 0

    async def count() -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await gate.wait()
        waiting -= 1

    made.accounts.gate = count
    keys = [made.accounts.add_key(made.org.org_id)[0] for _ in range(20)]
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(made.call(key)) for key in keys]
        await eventually(lambda: waiting == 4)
        gate.set()
    assert most == 4
    assert len({call.result().key.key_id for call in calls}) == 20


async def test_a2_who_goes_away_does_not_take_the_answer_from_the_others() -> None:
    made = key_bench()
    gate = asyncio.Event()
    made.accounts.gate = gate.wait
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(made.call())
        await eventually(lambda: made.accounts.asked)
        second = tasks.create_task(made.call())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        gate.set()
    assert second.result().key == made.key


async def test_a3_an_unknown_key_is_no_401_when_nobody_answers() -> None:
    made = key_bench()
    made.accounts.down = True
    for _ in range(3):
        with pytest.raises(DependencyError):
            await made.call()
    made.accounts.down = False
    assert (await made.call()).key == made.key


async def test_a3_an_answer_that_does_not_come_in_time_is_no_401() -> None:
    made = key_bench(timeout_s=0.05)
    made.accounts.gate = asyncio.Event().wait
    with pytest.raises(DependencyError):
        await made.call()
    made.publish()
    made.directory.age = 100.0
    assert (await made.call()).key == made.key


async def test_a3_a_full_queue_of_questions_is_no_401() -> None:
    made = key_bench(lookups=1, timeout_s=0.05)
    made.accounts.gate = asyncio.Event().wait
    other, _ = made.accounts.add_key(made.org.org_id)
    results = await asyncio.gather(made.call(), made.call(other), return_exceptions=True)
    assert [type(result) for result in results] == [DependencyError, DependencyError]


async def test_a4_all_keys_at_once_after_a_loss_of_everything_ask_once_each() -> None:
    made = key_bench(lookups=32)
    keys = [made.accounts.add_key(made.org.org_id)[0] for _ in range(500)]
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            for key in keys:
                tasks.create_task(made.call(key))
    assert len(made.accounts.asked) == 500
