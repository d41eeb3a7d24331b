"""What every GenerationRecords does."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.testing.examples import iter_examples
from edge.adapters.metering_client import GrpcGenerationRecords
from edge.domain.errors import DependencyError, NotFoundError
from edge.ports import GenerationRecords
from edge.testing.doubles import MemoryGenerationRecords
from edge.testing.servicers import register_records
from servicekit.testing import run_servicer
from turnpike.usage.v1 import usage_event_pb2


async def test_a_record_is_returned_as_it_was_written(
    records: GenerationRecords, stored: MemoryGenerationRecords, examples: Path
) -> None:
    for _, event in iter_examples(usage_event_pb2.UsageEvent, examples):
        stored.events[event.generation_id] = event
        assert await records.get(event.generation_id, event.org_id) == event


async def test_what_is_not_there_or_of_others_is_not_found(
    records: GenerationRecords, stored: MemoryGenerationRecords
) -> None:
    stored.events["gen-1"] = usage_event_pb2.UsageEvent(generation_id="gen-1", org_id="theirs")
    for name in ("gen-1", "gen-2"):
        with pytest.raises(NotFoundError):
            await records.get(name, "ours")


async def test_an_outage_is_not_a_missing_record(records: GenerationRecords, stored: MemoryGenerationRecords) -> None:
    stored.down = True
    with pytest.raises(DependencyError):
        await records.get("gen-1", "ours")


class Careless:
    """Answers with whatever it has."""

    async def get(self, generation_id: str, org_id: str) -> usage_event_pb2.UsageEvent:
        """Return somebody's record."""
        return usage_event_pb2.UsageEvent(generation_id=generation_id, org_id="theirs")


@pytest.fixture
async def careless(opened: AsyncExitStack) -> GenerationRecords:
    channel = await opened.enter_async_context(run_servicer(lambda server: register_records(server, Careless())))
    return GrpcGenerationRecords(channel, timedelta(seconds=20))


async def test_a_record_of_others_does_not_pass_whatever_the_server_says(careless: GenerationRecords) -> None:
    with pytest.raises(NotFoundError):
        await careless.get("gen-1", "ours")
    assert (await careless.get("gen-1", "theirs")).org_id == "theirs"
