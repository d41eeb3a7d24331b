"""Every fault before the first token, at every dialect, on real sockets: another provider answers, and nobody notices."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from router.domain.attempts import FailureKind
from router.domain.errors import RefusalError
from router.domain.settlement import Status
from router.domain.tokens import CountSource
from router.testing.faults import EARLY, UNREACHABLE, answering, mute_at_https
from router.testing.native_bench import HANG_SECONDS, NAMES, SHORT, OpenNativeBench, Place, Reached, other_than
from router.testing.wires import WIRES

CASES = [
    (name, stream, fault.is_silent)
    for name, fault in EARLY.items()
    for stream in (True, False)
    if (fault.in_streams if stream else fault.in_whole_answers)
]
QUICK = [
    pytest.param(name, stream, id=f"{name}, {'stream' if stream else 'whole'}")
    for name, stream, is_silent in CASES
    if not is_silent
]
SILENT = [
    pytest.param(name, stream, id=f"{name}, {'stream' if stream else 'whole'}")
    for name, stream, is_silent in CASES
    if is_silent
]


async def expect_failover(reached: Reached, kind: FailureKind, *, stream: bool) -> None:
    """Complete, and check that the caller sees one whole answer of the second provider and nothing else."""
    async with asyncio.timeout(HANG_SECONDS):
        outcome = await reached.router.complete(stream=stream)
    assert (outcome.text, outcome.provider, outcome.finish_reason) == ("Good day", "b", "stop")
    assert (outcome.finishes, outcome.interruption) == (1, None)
    record = reached.router.only_record()
    assert (record.status, record.error_type) == (Status.COMPLETED, "")
    assert [attempt.failure for attempt in record.attempts] == [kind, None]
    assert record.answered is not None
    assert record.answered.tokens.source is CountSource.PROVIDER
    # 7 prompt tokens at 2 micro-dollars and 3 completion tokens at 2.
    assert record.answered.cost.total == 20_000
    assert [len(provider.received) for provider in reached.providers] == [1] * len(reached.providers)


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize(("fault", "stream"), QUICK)
async def test_r6_a_fault_before_the_first_token_is_never_seen(
    native_bench: OpenNativeBench, dialect: str, fault: str, stream: bool
) -> None:
    wire, early = WIRES[dialect], EARLY[fault]
    other = other_than(wire)
    reached = await native_bench(Place(wire, early.script(wire)), Place(other, answering(other)))
    await expect_failover(reached, early.kind_at(wire), stream=stream)


# The dialects wait together, or these few would take most of a minute.
@pytest.mark.parametrize(("fault", "stream"), SILENT)
async def test_r6_a_silence_before_the_first_token_ends_at_its_limit(
    native_bench: OpenNativeBench, fault: str, stream: bool
) -> None:
    early = EARLY[fault]

    async def at(dialect: str) -> None:
        wire = WIRES[dialect]
        other = other_than(wire)
        reached = await native_bench(Place(wire, early.script(wire)), Place(other, answering(other)), patience=SHORT)
        await expect_failover(reached, early.kind_at(wire), stream=stream)

    async with asyncio.TaskGroup() as tasks:
        for dialect in NAMES:
            tasks.create_task(at(dialect), name=dialect)


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", UNREACHABLE)
async def test_r6_a_provider_that_cannot_be_reached_is_never_seen(
    native_bench: OpenNativeBench, strange_tls: ssl.SSLContext, dialect: str, fault: str, stream: bool
) -> None:
    wire = WIRES[dialect]
    other = other_than(wire)
    async with UNREACHABLE[fault](strange_tls) as origin:
        reached = await native_bench(Place(wire, origin), Place(other, answering(other)))
        await expect_failover(reached, FailureKind.CONNECT, stream=stream)


async def test_r6_a_handshake_without_an_answer_ends_at_its_limit(native_bench: OpenNativeBench) -> None:
    async def at(dialect: str, origin: str) -> None:
        wire = WIRES[dialect]
        other = other_than(wire)
        reached = await native_bench(Place(wire, origin), Place(other, answering(other)))
        await expect_failover(reached, FailureKind.CONNECT, stream=True)

    async with mute_at_https() as origin, asyncio.TaskGroup() as tasks:
        for dialect in NAMES:
            tasks.create_task(at(dialect, origin), name=dialect)


# Three dialects at a time cover all of them.
@pytest.mark.parametrize("first", NAMES[::3])
@pytest.mark.parametrize(("fault", "stream"), QUICK)
async def test_a_fault_everywhere_is_an_error_and_never_a_success(
    native_bench: OpenNativeBench, first: str, fault: str, stream: bool
) -> None:
    wires = [other_than(WIRES[first], step) for step in range(3)]
    reached = await native_bench(*[Place(wire, EARLY[fault].script(wire)) for wire in wires])
    async with asyncio.timeout(HANG_SECONDS):
        with pytest.raises(RefusalError) as caught:
            await reached.router.complete(stream=stream)
    assert caught.value.http_status >= 500
    assert [each["code"] for each in caught.value.previous_errors] == [EARLY[fault].kind_at(wire) for wire in wires]
    record = reached.router.only_record()
    assert (record.status, record.answered) == (Status.FAILED, None)
    assert [len(provider.received) for provider in reached.providers] == [1, 1, 1]
