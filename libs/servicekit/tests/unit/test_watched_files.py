from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from servicekit.clock import SystemClock
from servicekit.watched_files import WatchedFiles


def parse(files: Sequence[tuple[str, str]]) -> str:
    text = "|".join(f"{Path(name).name}={text}" for name, text in files)
    if "bad" in text:
        raise ValueError("a bad word")
    return text


def watch(*paths: Path, seen: list[str] | None = None) -> WatchedFiles[str]:
    return WatchedFiles(
        "words",
        paths,
        suffix=".txt",
        parse=parse,
        clock=SystemClock(),
        interval=timedelta(milliseconds=5),
        on_change=None if seen is None else seen.append,
    )


async def settle(watched: WatchedFiles[str]) -> bool:
    """A change is taken once two looks in a row find the same."""
    first = await watched.refresh()
    return await watched.refresh() or first


async def test_folders_are_read_with_everything_below_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("2")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "z.txt").write_text("1")
    (tmp_path / "note.md").write_text("bad")
    seen: list[str] = []
    watched = watch(tmp_path, seen=seen)
    await watched.start()
    assert watched.value == "z.txt=1|b.txt=2"
    assert seen == [watched.value]


async def test_hidden_folders_are_left_out_so_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    version = tmp_path / "..2026_11_24"
    version.mkdir()
    (version / "a.txt").write_text("1")
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "a.txt").symlink_to("..data/a.txt")
    watched = watch(tmp_path)
    await watched.start()
    assert watched.value == "a.txt=1"

    newer = tmp_path / "..2026_11_25"
    newer.mkdir()
    (newer / "a.txt").write_text("2")
    (tmp_path / "..next").symlink_to(newer.name)
    (tmp_path / "..next").replace(tmp_path / "..data")
    assert await settle(watched)
    assert watched.value == "a.txt=2"


async def test_a_change_waits_until_the_files_are_still(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("1")
    watched = watch(file)
    await watched.start()
    file.write_text("12")
    assert not await watched.refresh()
    file.write_text("123")
    assert not await watched.refresh()
    assert await watched.refresh()
    assert watched.value == "a.txt=123"
    assert not await watched.refresh()


async def test_files_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1")
    watched = watch(tmp_path)
    await watched.start()
    (tmp_path / "b.txt").write_text("2")
    assert await settle(watched)
    assert watched.value == "a.txt=1|b.txt=2"
    (tmp_path / "a.txt").unlink()
    assert await settle(watched)
    assert watched.value == "b.txt=2"


@pytest.mark.parametrize("content", [b"bad", b"\xff"])
async def test_the_last_good_value_stays_through_faults(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.txt"
    file.write_text("1")
    seen: list[str] = []
    watched = watch(file, seen=seen)
    await watched.start()
    file.write_bytes(content)
    assert not await settle(watched)
    assert watched.value == "a.txt=1"
    file.write_text("2")
    assert await settle(watched)
    assert seen == ["a.txt=1", "a.txt=2"]


async def test_a_file_may_vanish_and_return(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("1")
    watched = watch(file)
    await watched.start()
    file.unlink()
    assert not await settle(watched)
    assert not await watched.refresh()
    assert watched.value == "a.txt=1"
    file.write_text("2")
    assert await settle(watched)
    assert watched.value == "a.txt=2"


async def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("1")
    before = file.stat()
    watched = watch(file)
    await watched.start()
    file.write_text("2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await settle(watched)
    assert watched.value == "a.txt=2"


async def test_a_start_needs_sound_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await watch(tmp_path / "absent.txt").start()
    (tmp_path / "a.txt").write_text("bad")
    with pytest.raises(ValueError, match="a bad word"):
        await watch(tmp_path).start()
    unread = watch(tmp_path)
    with pytest.raises(RuntimeError, match="not started"):
        _ = unread.value


async def test_running_it_polls_until_it_is_stopped(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("1")
    changed = asyncio.Event()
    watched = WatchedFiles(
        "words",
        [file],
        suffix=".txt",
        parse=parse,
        clock=SystemClock(),
        interval=timedelta(milliseconds=5),
        on_change=lambda value: changed.set() if value == "a.txt=2" else None,
    )
    await watched.start()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(watched.run())
        file.write_text("2")
        await changed.wait()
        await watched.stop(timedelta(0))
        await running
