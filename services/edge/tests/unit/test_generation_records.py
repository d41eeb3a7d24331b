"""Patience with records of generations."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from edge.domain.errors import DependencyError, InvalidInputError, NotFoundError
from edge.records import Records
from edge.testing.doubles import MemoryGenerationRecords
from servicekit.testing import ManualClock
from turnpike.usage.v1 import usage_event_pb2


class TestRecords:
    """Patience with a record that is not there yet."""

    NEW = "gen-1767225600-aaaaaaaaaaaaaaaaaaaa"

    def make(self) -> tuple[Records, MemoryGenerationRecords, ManualClock]:
        records, clock = MemoryGenerationRecords(), ManualClock()
        made = Records(records, clock, patience=timedelta(seconds=1), longest_generation=timedelta(minutes=10))
        return made, records, clock

    async def test_a_record_that_is_there_is_returned_at_once(self) -> None:
        made, records, clock = self.make()
        records.events[self.NEW] = usage_event_pb2.UsageEvent(generation_id=self.NEW, org_id="org")
        assert (await made.get(self.NEW, "org")).generation_id == self.NEW
        assert (records.asked, clock.sleepers) == (1, 0)

    async def test_one_that_is_late_is_waited_for(self) -> None:
        made, records, clock = self.make()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(made.get(self.NEW, "org"))
            await clock.wait_for_sleepers()
            records.events[self.NEW] = usage_event_pb2.UsageEvent(generation_id=self.NEW, org_id="org")
            await clock.advance(0.1)
        assert asking.result().org_id == "org"

    async def test_patience_ends(self) -> None:
        made, records, clock = self.make()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_outcome(made, self.NEW))
            for _ in range(10):
                await clock.advance(0.2)
        assert isinstance(asking.result(), NotFoundError)
        assert clock.monotonic() >= 1
        assert 3 <= records.asked <= 10

    @pytest.mark.parametrize("seconds", [1, 1_767_225_600 - 3_600, 1_767_225_600 + 3_600])
    async def test_nobody_waits_for_a_record_that_cannot_be_on_its_way(self, seconds: int) -> None:
        made, records, clock = self.make()
        with pytest.raises(NotFoundError):
            await made.get(f"gen-{seconds}-aaaaaaaaaaaaaaaaaaaa", "org")
        assert (records.asked, clock.sleepers) == (1, 0)

    async def test_a_store_that_is_down_is_said_so_at_once(self) -> None:
        made, records, _ = self.make()
        records.down = True
        with pytest.raises(DependencyError):
            await made.get(self.NEW, "org")

    async def test_an_id_of_another_form_is_asked_of_nobody(self) -> None:
        made, records, _ = self.make()
        with pytest.raises(InvalidInputError) as raised:
            await made.get("gen-x", "org")
        assert raised.value.param == "id"
        assert records.asked == 0


async def _outcome(records: Records, generation_id: str) -> object:
    try:
        return await records.get(generation_id, "org")
    except NotFoundError as error:
        return error
