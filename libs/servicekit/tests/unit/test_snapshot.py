from __future__ import annotations

import os
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.kafka.snapshot import Snapshot, read_snapshot, renew_snapshot, write_snapshot

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENTRIES = st.lists(st.tuples(st.text(), st.binary()), max_size=5)


@given(entries=ENTRIES, contact=st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_back_to_the_millisecond(entries: list[tuple[str, bytes]], contact: datetime) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "table"
        write_snapshot(path, contact, entries)
        read = read_snapshot(path)
        assert read is not None
        assert read.entries == tuple(entries)
        assert timedelta(0) <= contact - read.contact < timedelta(milliseconds=1)


@given(entries=ENTRIES.filter(bool), cut=st.integers(min_value=0, max_value=10_000))
def test_a_file_that_is_cut_off_anywhere_is_no_snapshot(entries: list[tuple[str, bytes]], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        write_snapshot(path, NOON, entries)
        whole = path.read_bytes()
        path.write_bytes(whole[: cut % len(whole)])
        assert read_snapshot(path) is None


@given(st.binary(max_size=200))
def test_no_content_makes_reading_fail(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        for start in (b"", b"SKTABLE1", b"SKTABLE1" + bytes(16)):
            path.write_bytes(start + content)
            assert isinstance(read_snapshot(path), Snapshot | None)


def test_the_contact_is_renewed_in_place(tmp_path: Path) -> None:
    path = tmp_path / "table"
    write_snapshot(path, NOON, [("a", b"1")])
    renew_snapshot(path, NOON + timedelta(hours=1))
    assert read_snapshot(path) == Snapshot(NOON + timedelta(hours=1), (("a", b"1"),))


def test_renewing_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    renew_snapshot(tmp_path / "absent", NOON)
    assert list(tmp_path.iterdir()) == []
    assert read_snapshot(tmp_path / "absent") is None


def test_a_file_is_readable_by_its_owner_only_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "table"
    write_snapshot(path, NOON, [("a", b"1")])
    write_snapshot(path, NOON, [("b", b"2")])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["table"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        write_snapshot(tmp_path / "file" / "table", NOON, [])
