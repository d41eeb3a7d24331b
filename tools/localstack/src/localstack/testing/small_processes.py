"""Small real processes, and a supervisor that keeps them for the length of a block."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from localstack.child import ChildSpec
from localstack.state import StateDir
from localstack.supervisor import Supervisor

_BORN = "born"
_PROLOGUE = f"""
import os, signal, sys, time
from pathlib import Path
def say(text):
    print(text, flush=True)
def serve():
    Path(sys.argv[1]).write_text(str(os.getpid()))
    say("ready")
    time.sleep(1000)
say({_BORN!r})
"""


def small_process(state: StateDir, name: str, script: str = "serve()", **changes: Any) -> ChildSpec:
    """A process that runs `script`, in which `serve()` becomes ready and stays, and `say(text)` logs.

    Args:
        state: where its log goes, and where it runs.
        name: of the process.
        script: Python.
        changes: of the `ChildSpec`.
    """
    served_by = state.root / f"{name}.pid"

    async def ready() -> bool:
        try:
            os.kill(int(served_by.read_text()), 0)
        except (OSError, ValueError):
            # Not served yet, or by an earlier process, which is gone.
            return False
        return True

    command = (sys.executable, "-I", "-S", "-c", _PROLOGUE + script, str(served_by))
    return replace(ChildSpec(name=name, command=command, log=state.log(name), ready=ready, environment={}), **changes)


def lives(state: StateDir, name: str) -> int:
    """How often a small process was started."""
    return state.log(name).read_text().splitlines().count(_BORN)


@asynccontextmanager
async def supervised(supervisor: Supervisor, *, settle: bool = True) -> AsyncIterator[None]:
    """Run a supervisor for the length of the block, by default from when all of its processes are settled.

    Raises:
        ExceptionGroup: with the error that ended it before the block did.
    """
    stopping = asyncio.Event()

    async def work() -> None:
        await stopping.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run(work))
        try:
            if settle:
                await supervisor.settled()
            yield
        finally:
            stopping.set()
