from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from localstack.log_files import last_line, open_log, trim


def write(path: Path, text: str) -> None:
    descriptor = open_log(path, 1000)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def test_log_is_appended_to_and_private(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    write(log, "one\n")
    write(log, "two\n")
    assert log.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_log_that_is_too_large_at_a_start_moves_aside(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    write(log, "x" * 1001)
    write(log, "new\n")
    assert log.read_text() == "new\n"
    assert (tmp_path / "edge.log.1").read_text() == "x" * 1001


def test_trim_empties_a_log_that_is_being_written_to_and_keeps_its_content(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    descriptor = open_log(log, 1000)
    os.write(descriptor, b"x" * 600)
    assert not trim(log, 600)
    os.write(descriptor, b"y")
    assert trim(log, 600)
    os.write(descriptor, b"after")
    os.close(descriptor)
    previous = tmp_path / "edge.log.1"
    assert log.read_text() == "after"
    assert previous.read_text() == "x" * 600 + "y"
    assert stat.S_IMODE(previous.stat().st_mode) == 0o600


def test_trim_of_a_log_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    assert not trim(tmp_path / "none.log", 0)


def test_last_line_is_the_last_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    write(log, "first\nlast words\n\n  \n")
    assert last_line(log) == "last words"


def test_last_line_of_a_structured_log_is_its_event_and_what_went_wrong(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    record = {
        "event": "store.lost",
        "error": "no route",
        "exception": "Traceback\n  here\nOSError: no route",
        "level": "error",
    }
    write(log, json.dumps(record) + "\n")
    assert last_line(log) == "store.lost: no route: OSError: no route"


def test_last_line_of_json_without_an_event_is_the_line(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    write(log, '["a"]\n')
    assert last_line(log) == '["a"]'


def test_last_line_looks_only_at_what_was_said_in_this_life(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    write(log, "of an earlier life\n")
    since = log.stat().st_size
    assert last_line(log, since) == ""
    write(log, "of this one\n")
    assert last_line(log, since) == "of this one"
    # The log was cut, so what is left is all of this life.
    assert last_line(log, 10_000) == "of this one"


def test_last_line_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    write(log, "z" * 900 + "\n")
    assert last_line(log) == "z" * 300


def test_last_line_of_no_log_is_empty(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none.log") == ""
