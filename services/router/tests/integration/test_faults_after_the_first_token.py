"""Every fault after the first token, at every dialect, on real sockets: one error event, no second answer, no charge."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.domain.settlement import Status
from router.domain.tokens import CountSource
from router.testing.faults import LATE, SPOKEN, answering, streamed
from router.testing.native_bench import HANG_SECONDS, NAMES, SHORT, OpenNativeBench, Place, other_than
from router.testing.scripted_provider import Exchange, Script
from router.testing.wires import WIRES, Said, Wire
from router.testing.workbench import PATIENCE, Outcome

# The first token may take as long as a busy machine needs.
STALLING = replace(PATIENCE, stall=SHORT.stall)


async def expect_one_error(native_bench: OpenNativeBench, wire: Wire, fault: str) -> None:
    """Complete with a provider that fails when its first word was shown, beside one that would answer well."""
    late, shown, other = LATE[fault], asyncio.Event(), other_than(wire)
    reached = await native_bench(
        Place(wire, late.script(wire, shown)),
        Place(other, answering(other)),
        patience=STALLING if late.is_silent else PATIENCE,
    )
    outcome = Outcome()
    async with asyncio.timeout(HANG_SECONDS):
        async for progress in reached.router.begin().progress():
            outcome.add(progress)
            if outcome.text:
                shown.set()
    assert (outcome.text, outcome.provider, outcome.finishes) == (SPOKEN.text, "a", 0)
    assert outcome.ending is not None
    assert (outcome.ending.status, outcome.ending.cost.total) == (Status.FAILED, 0)
    assert outcome.interruption is not None
    assert (outcome.interruption.status, outcome.interruption.error_type) == (late.status, late.error_type)
    assert [len(provider.received) for provider in reached.providers] == [1, 0]
    record = reached.router.only_record()
    assert (record.status, record.error_type) == (Status.FAILED, late.error_type)
    assert len(record.attempts) == 1


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("fault", [name for name, fault in LATE.items() if not fault.is_silent])
async def test_r6_a_fault_after_the_first_token_is_one_error_and_no_second_answer(
    native_bench: OpenNativeBench, dialect: str, fault: str
) -> None:
    await expect_one_error(native_bench, WIRES[dialect], fault)


@pytest.mark.parametrize("fault", [name for name, fault in LATE.items() if fault.is_silent])
async def test_r6_a_silence_after_the_first_token_ends_at_its_limit(native_bench: OpenNativeBench, fault: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        for dialect in NAMES:
            tasks.create_task(expect_one_error(native_bench, WIRES[dialect], fault), name=dialect)


def with_the_end_twice(wire: Wire) -> Script:
    async def script(exchange: Exchange) -> None:
        parts = wire.parts(Said())
        await streamed(exchange, wire, (*parts.opening, *parts.output, *parts.closing, parts.mark))
        await exchange.end_stream()

    return script


def with_the_end_twice_in_one_piece(wire: Wire) -> Script:
    async def script(exchange: Exchange) -> None:
        parts = wire.parts(Said())
        await streamed(exchange, wire, (parts.whole + parts.mark,))
        await exchange.end_stream()

    return script


def without_an_end_of_the_body(wire: Wire) -> Script:
    """All is said, and then the connection breaks."""

    async def script(exchange: Exchange) -> None:
        parts = wire.parts(Said())
        await streamed(exchange, wire, (*parts.opening, *parts.output, *parts.closing))
        exchange.reset()

    return script


HARMLESS = {
    "the end mark twice": with_the_end_twice,
    "the end mark twice in one piece": with_the_end_twice_in_one_piece,
    "cut after the end": without_an_end_of_the_body,
}


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("fault", HARMLESS)
async def test_a_fault_after_the_end_changes_nothing(native_bench: OpenNativeBench, dialect: str, fault: str) -> None:
    wire = WIRES[dialect]
    reached = await native_bench(Place(wire, HARMLESS[fault](wire)))
    for _ in range(2):
        async with asyncio.timeout(HANG_SECONDS):
            outcome = await reached.router.complete()
        assert (outcome.text, outcome.finish_reason, outcome.finishes) == ("Good day", "stop", 1)
        assert outcome.interruption is None
    for record in reached.router.log.records:
        assert record.status is Status.COMPLETED
        assert record.answered is not None
        assert record.answered.cost.total == 13_000


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_without_counts_is_whole_and_is_charged_by_its_length(
    native_bench: OpenNativeBench, dialect: str, stream: bool
) -> None:
    wire = WIRES[dialect]
    reached = await native_bench(Place(wire, answering(wire, Said(counts=None))))
    outcome = await reached.router.complete(stream=stream)
    assert (outcome.text, outcome.finish_reason, outcome.interruption) == ("Good day", "stop", None)
    answered = reached.router.only_record().answered
    assert answered is not None
    assert answered.tokens.source is CountSource.ESTIMATE
    # 8 bytes are 2 tokens.
    assert answered.tokens.counts.completion == 2
    assert answered.cost.total == answered.tokens.counts.prompt * 1_000 + 2 * 2_000
