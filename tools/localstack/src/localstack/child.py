"""One process of the stack: what it is, and its life between a start and an end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from localstack.log_files import last_line, open_log
from localstack.state import LOG_KEPT_AT_START

_LAUNCHER = Path(__file__).with_name("launch.py")


class ChildState(StrEnum):
    """Where in its life a process is."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"
    HELD = "held"
    GIVEN_UP = "given up"


@dataclass(frozen=True)
class ChildSpec:
    """A process to be kept running.

    Attributes:
        name: one word, for people and for the control socket.
        command: program (a path) and arguments; never a secret.
        log: where its output goes.
        ready: whether it does its work now.
        environment: all of it; holds secrets.
        needs: names of those that must be ready before it is started for the first time.
        stage: those of a lower stage are stopped before those of a higher one.
        stop_signal: asks it to end.
        orphan_signal: what the kernel sends when the supervisor is gone.
        grace: how long it may take to end before it is killed.
        start_limit: how long it may take to become ready for the first time.
        optional: the stack goes on without it when it cannot run on this machine.
        admin_url: base of `/healthz/…` and `/metrics`, or "".
        grpc_target: host:port of its gRPC server, or "".
        user: uid and gid to run as, or None.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(repr=False)
    needs: tuple[str, ...] = ()
    stage: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    grace: timedelta = timedelta(seconds=30)
    start_limit: timedelta = timedelta(seconds=90)
    optional: bool = False
    admin_url: str = ""
    grpc_target: str = ""
    user: tuple[int, int] | None = None


class Child:
    """A process and what is known of it. The supervisor decides; this carries out."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.state = ChildState.WAITING
        self.pid = 0
        self.wanted = asyncio.Event()
        self.wanted.set()
        self.parked = asyncio.Event()
        """Set while it is down because nobody wants it."""
        self.ready = asyncio.Event()
        self.settled = asyncio.Event()
        """Set for good once it was ready or was given up."""
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    async def spawn(self) -> None:
        """Start it. Its pid is known when this returns.

        Raises:
            OSError: the log cannot be written, or no process can be made.
        """
        uid, gid = self.spec.user or (-1, -1)
        launcher = (sys.executable, "-I", "-S", str(_LAUNCHER), str(int(self.spec.orphan_signal)), str(os.getpid()))
        log = open_log(self.spec.log, LOG_KEPT_AT_START)
        try:
            self._log_start = os.fstat(log).st_size
            self._process = await asyncio.create_subprocess_exec(
                *launcher,
                str(uid),
                str(gid),
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.environment),
                cwd=self.spec.log.parent.parent,
                # Ctrl-C in the terminal reaches the supervisor only, which then stops its children in order.
                start_new_session=True,
            )
        finally:
            os.close(log)
        self.pid = self._process.pid
        self.state = ChildState.STARTING

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    async def wait(self) -> None:
        """Wait until the process has ended."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self, impatient: asyncio.Event) -> bool:
        """Ask it to end, and kill it when it does not within its grace or once `impatient` is set.

        Returns:
            Whether it ended by itself.
        """
        if not self.running:
            return True
        self._send(self.spec.stop_signal)
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(self.wait())
            hurry = group.create_task(impatient.wait())
            await asyncio.wait(
                {ended, hurry}, timeout=self.spec.grace.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            gently = not self.running
            if not gently:
                self.kill()
            hurry.cancel()
        return gently

    def kill(self) -> None:
        """Kill it with all that it started in its session."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The last line that it logged in this life."""
        return last_line(self.spec.log, self._log_start)

    @property
    def exit_code(self) -> int | None:
        """Of the life that ended last; None for a signal."""
        code = None if self._process is None else self._process.returncode
        return code if code is not None and code >= 0 else None

    def ending(self) -> str:
        """How it ended, for people."""
        code = None if self._process is None else self._process.returncode
        if code is None:
            return "has not ended"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
