"""The spool: durable, in order, tolerant of what a killed process leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.ids import GenerationId, KeyId, OrgId
from router.adapters.usage_spool import UsageSpool
from router.domain.errors import UsageLogError
from router.domain.settlement import Caller, GenerationRecord, Status
from router.testing.waiting import eventually
from servicekit.clock import SystemClock
from servicekit.spool import Published, SpoolEntry, SpoolLimits, acks, segments
from servicekit.testing import running

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GRACE = timedelta(seconds=5)


def record(number: int) -> GenerationRecord:
    return GenerationRecord(
        generation_id=GenerationId(f"gen-1-{number:020d}"),
        caller=Caller(OrgId("org"), KeyId("key")),
        requested_model="acme/one",
        status=Status.FAILED,
        streamed=False,
        started_at=NOW,
        ended_at=NOW,
        attempts=(),
        answered=None,
    )


def entry(of: GenerationRecord) -> SpoolEntry:
    return SpoolEntry(b"org", {"ce_id": of.generation_id}, of.generation_id.encode())


def spool(directory: Path, limits: SpoolLimits | None = None) -> UsageSpool:
    return UsageSpool(directory, entry, SystemClock(), limits or SpoolLimits())


def numbers(entries: Sequence[tuple[int, SpoolEntry]]) -> list[int]:
    return [int(each.value[-20:]) for _, each in entries]


async def read_all(source: UsageSpool, count: int, after: int = 0) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            entries = await source.read_after(after, 7)
            found += numbers(entries)
            after = entries[-1][0]
    return found


async def fill(directory: Path, count: int, limits: SpoolLimits | None = None) -> None:
    target = spool(directory, limits)
    async with running(target):
        for number in range(1, count + 1):
            await target.append(record(number))


async def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    await fill(tmp_path, 20)
    again = spool(tmp_path)
    async with running(again):
        assert again.backlog == 20
        await again.append(record(21))
        assert await read_all(again, 21) == list(range(1, 22))


async def test_many_appends_share_one_sync(tmp_path: Path) -> None:
    target = spool(tmp_path)
    async with running(target):
        waiting = [target.append(record(number)) for number in range(1, 501)]
        assert target.in_flight() == 500
        await asyncio.gather(*waiting)
        assert target.backlog == 500
        assert await read_all(target, 500) == list(range(1, 501))


async def test_reading_waits_for_what_comes_and_can_begin_anew(tmp_path: Path) -> None:
    target = spool(tmp_path)
    async with running(target), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(target.read_after(0, 10))
        await asyncio.sleep(0)
        await target.append(record(1))
        assert numbers(await reading) == [1]
        await target.append(record(2))
        assert numbers(await target.read_after(1, 10)) == [2]
        # Nothing of these is in memory any more.
        assert await read_all(target, 2) == [1, 2]


@pytest.mark.parametrize("torn", [b"\x00", b"\x00\x00\x02\x00\x12\x34", b"\xff" * 40, bytes(1000)])
async def test_a_torn_tail_is_skipped_and_never_written_over(tmp_path: Path, torn: bytes) -> None:
    await fill(tmp_path, 5)
    (segment,) = tmp_path.glob("usage-*.seg")
    with segment.open("ab") as file:
        file.write(torn)
    (found,) = segments.recover(tmp_path, "usage")
    assert (found.first, found.last, found.torn_bytes) == (1, 5, len(torn))
    again = spool(tmp_path)
    async with running(again):
        await again.append(record(6))
        assert await read_all(again, 6) == [1, 2, 3, 4, 5, 6]


async def test_every_cut_of_the_file_leaves_the_whole_entries_before_it(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    (segment,) = tmp_path.glob("usage-*.seg")
    data = segment.read_bytes()
    ends = [end for end, _ in segments.read_entries(segment)]
    for cut in range(segments.HEAD_BYTES, len(data)):
        segment.write_bytes(data[:cut])
        assert len(list(segments.read_entries(segment))) == sum(end <= cut for end in ends)


async def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    (segment,) = tmp_path.glob("usage-*.seg")
    data = bytearray(segment.read_bytes())
    data[-5] ^= 1
    segment.write_bytes(bytes(data))
    assert len(list(segments.read_entries(segment))) == 2


_WRITER = """
import asyncio, sys
from pathlib import Path
from router.adapters.usage_spool import UsageSpool
from servicekit.clock import SystemClock
from servicekit.spool import SpoolEntry, SpoolLimits

async def main():
    spool = UsageSpool(Path(sys.argv[1]), lambda n: SpoolEntry(b"org", {}, str(n).zfill(20).encode()),
                       SystemClock(), SpoolLimits(segment_bytes=64 * 1024))
    await spool.start()
    async def write(worker):
        for step in range(1_000_000):
            number = step * 8 + worker
            await spool.append(number)
            print("appended", number, flush=True)
    await asyncio.gather(*[write(worker) for worker in range(8)])

asyncio.run(main())
"""


def test_kill_9_loses_nothing_whose_append_returned(tmp_path: Path) -> None:
    for round_ in range(3):
        folder = tmp_path / str(round_)
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(300 + 150 * round_)]
        process.send_signal(signal.SIGKILL)
        # Lines that were still in the pipe were printed, so their appends had returned.
        lines += [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        returned = [int(line.split()[1]) for line in lines if line.startswith("appended ")]
        process.stdout.close()
        process.wait()
        found = segments.recover(folder, "usage")
        kept = [int(each.value) for part in found for _, each in segments.read_entries(part.path)]
        assert set(returned) <= set(kept)
        assert len(kept) == len(set(kept))


async def test_how_far_it_is_published_survives_a_restart(tmp_path: Path) -> None:
    target = spool(tmp_path)
    async with running(target):
        for number in range(1, 11):
            await target.append(record(number))
        target.note_published(Published("cluster", 7))
        assert target.backlog == 3
    again = spool(tmp_path)
    async with running(again):
        assert again.published == Published("cluster", 7)
        assert await read_all(again, 3, after=again.published.through) == [8, 9, 10]


def test_an_unreadable_note_counts_as_nothing(tmp_path: Path) -> None:
    assert acks.load(tmp_path) == Published()
    acks.save(tmp_path, Published("c", 3))
    assert acks.load(tmp_path) == Published("c", 3)
    (tmp_path / "published.json").write_bytes(b"{torn")
    assert acks.load(tmp_path) == Published()


async def test_published_files_go_after_their_time_and_others_never(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=200, retention=timedelta(0))
    target = spool(tmp_path, limits)
    async with running(target):
        for number in range(1, 21):
            await target.append(record(number))
        files = len(list(tmp_path.glob("usage-*.seg")))
        assert files > 5
        target.note_published(Published("cluster", 12))
        await eventually(lambda: len(list(tmp_path.glob("usage-*.seg"))) < files)
        assert (await read_all(target, 8, after=12)) == list(range(13, 21))


async def test_a_full_spool_takes_no_new_work_and_room_comes_back(tmp_path: Path) -> None:
    limits = SpoolLimits(capacity_bytes=4_000, segment_bytes=500)
    target = spool(tmp_path, limits)
    async with running(target):
        number = 0
        while target.accepting:
            number += 1
            await target.append(record(number))
        assert 0.8 * 4_000 <= sum(path.stat().st_size for path in tmp_path.glob("usage-*.seg")) < 4_000
        # Generations that are in hand still find room.
        await target.append(record(number + 1))
        # The hour is not over, but room for new work is worth more than a second copy.
        target.note_published(Published("cluster", number + 1))
        await eventually(lambda: target.accepting)


async def test_a_directory_has_one_user(tmp_path: Path) -> None:
    target = spool(tmp_path)
    async with running(target):
        with pytest.raises(OSError, match="in use by another process"):
            await spool(tmp_path).start()
    async with running(spool(tmp_path)):
        pass


async def test_a_disk_that_fails_is_reported_and_left_for_another_file(tmp_path: Path) -> None:
    target = spool(tmp_path)
    async with running(target):
        await target.append(record(1))
        assert target._writer is not None
        # The file is taken away from under the writer: every write to it fails from now on.
        os.close(target._writer._descriptor)
        with pytest.raises(UsageLogError):
            await target.append(record(2))
        assert target.accepting is False
        await eventually(lambda: target.accepting)
        await target.append(record(3))
        assert await read_all(target, 2) == [1, 3]
        assert (await target.read_after(1, 10))[0][0] == 3


async def test_after_its_end_it_takes_nothing(tmp_path: Path) -> None:
    target = spool(tmp_path)
    async with running(target):
        pass
    assert not target.accepting
    with pytest.raises(UsageLogError):
        await target.append(record(1))
