from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.batch import Backlog, Batch, BatchPlan, Part, Progress, Received, Span, next_batch
from metering.domain.errors import OffsetsWentBackError
from metering.domain.usage import UnixMs

NOW = UnixMs(1_000)


def received(*offsets: int) -> list[Received]:
    return [Received(offset, NOW) for offset in offsets]


def backlog(partition: int, *offsets: int, planned_at: int = 0) -> Backlog:
    made = Backlog("t", partition, UnixMs(planned_at))
    made.add(received(*offsets))
    return made


def plan(*spans: Span, planned_at: int = NOW) -> BatchPlan:
    return BatchPlan("c", "t", spans, UnixMs(planned_at))


def spans(batch: Batch | None) -> list[Span]:
    return [] if batch is None else list(batch.plan.spans)


def test_batch_is_of_all_partitions_with_records_in_their_order() -> None:
    batch = next_batch("c", [backlog(7, 3, 4, 9), backlog(1), backlog(2, 5)], 10, NOW)

    assert batch is not None
    assert batch.plan == plan(Span(2, 5, 5), Span(7, 3, 9))
    assert [[entry.offset for entry in part.received] for part in batch.parts] == [[5], [3, 4, 9]]
    assert len(batch) == 4


def test_nothing_that_waits_is_no_batch() -> None:
    assert next_batch("c", [], 10, NOW) is None
    assert next_batch("c", [backlog(1)], 10, NOW) is None


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (10, [Span(0, 0, 3), Span(1, 0, 1), Span(2, 0, 3)]),  # what the short one leaves is the others'
        (100, [Span(0, 0, 29), Span(1, 0, 1), Span(2, 0, 29)]),
        (1, [Span(0, 0, 0), Span(1, 0, 0), Span(2, 0, 0)]),
    ],
)
def test_partitions_share_the_limit_so_that_none_waits_for_a_longer_one(limit: int, expected: list[Span]) -> None:
    long, short = range(30), range(2)
    batch = next_batch("c", [backlog(0, *long), backlog(1, *short), backlog(2, *long)], limit, NOW)

    assert spans(batch) == expected


def test_batch_holds_at_most_the_limit_and_the_rest_follows() -> None:
    waiting = backlog(0, *range(5))
    bounds = []
    while (batch := next_batch("c", [waiting], 2, NOW)) is not None:
        bounds += spans(batch)
        waiting.release(batch.plan.spans[0].last)

    assert bounds == [Span(0, 0, 1), Span(0, 2, 3), Span(0, 4, 4)]
    assert len(waiting) == 0


def test_records_that_left_the_topic_are_counted() -> None:
    batch = Batch(
        plan(Span(0, 20, 23), Span(1, 0, 0)), (Part(Span(0, 20, 23), tuple(received(22))), Part(Span(1, 0, 0), ()))
    )

    assert batch.missing == 4


def test_progress_goes_on_behind_what_is_done_and_at_the_start_of_what_is_open() -> None:
    both = plan(Span(0, 20, 23), Span(1, 5, 5))

    assert [Progress(0, both, done).next_offset for done in (False, True)] == [20, 24]
    assert [Progress(1, both, done).next_offset for done in (False, True)] == [5, 6]


def test_every_plan_is_later_than_those_before_even_when_the_clock_goes_back() -> None:
    waiting = [backlog(0, 10, planned_at=5_000), backlog(1, 4, planned_at=3)]
    first = next_batch("c", waiting, 10, UnixMs(4_000))
    again = next_batch("c", waiting, 10, UnixMs(4_000))

    assert first is not None
    assert again is not None
    assert (first.plan.planned_at, again.plan.planned_at) == (5_001, 5_002)


def test_token_differs_when_a_topic_that_was_made_anew_reaches_the_same_offsets() -> None:
    assert plan(Span(0, 0, 9), planned_at=1).token == "c/t/0/0-9/1"
    assert plan(Span(0, 0, 9), planned_at=1).token != plan(Span(0, 0, 9), planned_at=2).token
    assert plan(Span(0, 0, 9), Span(1, 2, 2), planned_at=1).token == "c/t/0/0-9,1/2-2/1"


def test_offset_that_comes_again_is_refused_and_nothing_is_taken() -> None:
    waiting = backlog(3, 5)
    with pytest.raises(OffsetsWentBackError, match="t/3: offset 0 after 6"):
        waiting.add(received(6, 0))

    assert len(waiting) == 1


@given(
    chunks=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 7)), max_size=12),
    limit=st.integers(1, 9),
    flush_after=st.lists(st.booleans()),
)
def test_b08_every_record_is_in_exactly_one_batch_however_they_arrive(
    chunks: list[tuple[int, int]], limit: int, flush_after: list[bool]
) -> None:
    waiting = [backlog(number) for number in range(3)]
    written: list[list[int]] = [[], [], []]
    offsets = [0, 0, 0]

    def flush() -> bool:
        batch = next_batch("c", waiting, limit, NOW)
        for part in batch.parts if batch is not None else ():
            written[part.span.partition] += [entry.offset for entry in part.received]
            waiting[part.span.partition].release(part.span.last)
        return batch is not None

    for index, (partition, size) in enumerate(chunks):
        waiting[partition].add(received(*range(offsets[partition], offsets[partition] + size)))
        offsets[partition] += size
        if index < len(flush_after) and flush_after[index]:
            flush()
    while flush():
        pass

    assert written == [list(range(offset)) for offset in offsets]
