"""Where the engine of a test process keeps its data: a process can have one engine only, whatever tests it runs."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def engine_path() -> Path:
    """The folder of this process's engine, removed when the process ends."""
    path = Path(tempfile.mkdtemp(prefix="chdb-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
