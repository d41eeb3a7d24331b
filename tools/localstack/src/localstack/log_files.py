"""Logs of the processes: opened for appending, bounded, and read for the last thing that was said."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

_TAIL = 64 * 1024
_LINE_LIMIT = 300


def open_log(path: Path, limit: int) -> int:
    """Open for appending and return the descriptor. A log larger than `limit` bytes is first moved to `<name>.log.1`."""
    if _size(path) > limit:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def trim(path: Path, limit: int) -> bool:
    """Empty a log that is being written to once it is larger than `limit` bytes; its content moves to `<name>.log.1`.

    The writer appends, so it goes on at the new end. What it writes between the copy and the cut is lost.
    """
    if _size(path) <= limit:
        return False
    previous = path.with_name(f"{path.name}.1")
    shutil.copyfile(path, previous)
    previous.chmod(0o600)
    os.truncate(path, 0)
    return True


def last_line(path: Path, since: int = 0) -> str:
    """What was last said after the first `since` bytes: at most 300 characters, or "" for nothing.

    Of a structured line, the event and what went wrong.
    """
    size = _size(path)
    # It was cut since then.
    since = since if since <= size else 0
    try:
        with path.open("rb") as file:
            file.seek(max(since, size - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    spoken = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return _readable(spoken)[:_LINE_LIMIT]


def _readable(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return line
    parts = [str(record["event"])]
    parts += [str(record[name]) for name in ("error", "reason") if record.get(name)]
    if trace := str(record.get("exception", "")).strip():
        parts.append(trace.splitlines()[-1])
    return ": ".join(parts)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
