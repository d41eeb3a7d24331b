from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.batch import Backlog, Batch, BatchPlan, Progress, Received
from metering.domain.errors import OffsetsWentBackError
from metering.domain.usage import UnixMs

NOW = UnixMs(1_000)


def received(*offsets: int) -> list[Received]:
    return [Received(offset, NOW) for offset in offsets]


def open_plan(first: int, last: int) -> Progress:
    return Progress(BatchPlan("c", "t", 0, first, last, NOW), done=False)


def test_bounds_of_a_plan_do_not_move_when_more_records_arrive() -> None:
    backlog = Backlog("c", "t", 0, None)
    backlog.add(received(7, 8, 9))
    first = backlog.plan(10, NOW)
    backlog.add(received(10, 11))
    again = backlog.plan(10, UnixMs(NOW + 5))

    assert first is not None
    assert (first.plan.first, first.plan.last) == (7, 9)
    assert again == first


def test_batch_holds_at_most_the_limit_and_the_rest_follows() -> None:
    backlog = Backlog("c", "t", 0, None)
    backlog.add(received(*range(5)))
    bounds = []
    while (batch := backlog.plan(2, NOW)) is not None:
        bounds.append((batch.plan.first, batch.plan.last))
        backlog.release(batch.plan)

    assert bounds == [(0, 1), (2, 3), (4, 4)]
    assert len(backlog) == 0


def test_open_plan_waits_for_its_last_record_and_is_given_with_its_own_bounds() -> None:
    progress = open_plan(20, 23)
    backlog = Backlog("c", "t", 0, progress)

    assert progress.next_offset == 20
    owed = [backlog.owes_a_plan]
    backlog.add(received(20, 21))
    early = backlog.plan(1, NOW)
    backlog.add(received(22, 23, 24))
    owed.append(backlog.owes_a_plan)
    batch = backlog.plan(1, NOW)
    assert owed == [True, False]
    assert early is None
    assert batch is not None
    assert batch.plan is progress.plan
    assert [entry.offset for entry in batch.received] == [20, 21, 22, 23]
    backlog.release(batch.plan)
    assert len(backlog) == 1


def test_open_plan_whose_records_left_the_topic_is_closed_with_what_is_left() -> None:
    backlog = Backlog("c", "t", 0, open_plan(20, 23))
    backlog.add(received(22, 30))
    batch = backlog.plan(10, NOW)

    assert batch is not None
    assert [entry.offset for entry in batch.received] == [22]
    assert batch.missing == 3


def test_open_plan_of_a_topic_that_was_made_anew_is_given_up() -> None:
    backlog = Backlog("c", "t", 0, open_plan(20, 23))
    backlog.add(received(0, 1))
    batch = backlog.plan(10, NOW)

    assert not backlog.owes_a_plan
    assert batch is not None
    assert (batch.plan.first, batch.plan.last, batch.plan.planned_at) == (0, 1, NOW + 1)


def test_every_plan_is_later_than_the_one_before_even_when_the_clock_goes_back() -> None:
    done = Progress(BatchPlan("c", "t", 0, 0, 9, UnixMs(5_000)), done=True)
    backlog = Backlog("c", "t", 0, done)
    backlog.add(received(10))
    batch = backlog.plan(10, UnixMs(4_000))

    assert done.next_offset == 10
    assert batch is not None
    assert batch.plan.planned_at == 5_001


def test_token_differs_when_a_topic_that_was_made_anew_reaches_the_same_offsets() -> None:
    before = BatchPlan("c", "t", 0, 0, 9, UnixMs(1))
    after = BatchPlan("c", "t", 0, 0, 9, UnixMs(2))

    assert before.token == "c/t/0/0-9/1"
    assert before.token != after.token


def test_offset_that_comes_again_is_refused_and_nothing_is_taken() -> None:
    backlog = Backlog("c", "t", 3, None)
    backlog.add(received(5))
    with pytest.raises(OffsetsWentBackError, match="t/3: offset 0 after 6"):
        backlog.add(received(6, 0))

    assert len(backlog) == 1


def test_releasing_a_plan_that_is_not_open_forgets_nothing() -> None:
    backlog = Backlog("c", "t", 0, None)
    backlog.add(received(1, 2))
    backlog.release(BatchPlan("c", "t", 0, 1, 2, NOW))

    assert len(backlog) == 2


@given(chunks=st.lists(st.integers(1, 7), max_size=12), limit=st.integers(1, 9), flush_after=st.lists(st.booleans()))
def test_b08_every_record_is_in_exactly_one_batch_however_they_arrive(
    chunks: list[int], limit: int, flush_after: list[bool]
) -> None:
    backlog = Backlog("c", "t", 0, None)
    written: list[int] = []
    offset = 0

    def flush(batch: Batch | None) -> None:
        if batch is not None:
            written.extend(entry.offset for entry in batch.received)
            backlog.release(batch.plan)

    for index, size in enumerate(chunks):
        backlog.add(received(*range(offset, offset + size)))
        offset += size
        if index < len(flush_after) and flush_after[index]:
            flush(backlog.plan(limit, NOW))
    while len(backlog):
        flush(backlog.plan(limit, NOW))

    assert written == list(range(offset))
