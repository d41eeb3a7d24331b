"""A PostgreSQL of the bench's own, with the schema of accounts in it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from accounts.adapters.postgres.database import Database
from accounts.testing import serving_dsn
from localstack import postgres
from servicekit.clock import SystemClock

START_LIMIT_S = 60.0


@dataclass(frozen=True)
class RunningPostgres:
    """A server: the address of its database as the owner, and its first process."""

    owner_dsn: str
    pid: int

    def database(self, pool: int = 4) -> Database:
        """Make the pool of accounts' connections, which brings the schema up to date at its start."""
        return Database(
            serving_dsn(self.owner_dsn),
            SystemClock(),
            pool=pool,
            connect_timeout=timedelta(seconds=3),
            statement_timeout=timedelta(seconds=30),
            owner_dsn=self.owner_dsn,
        )

    def cpu_seconds(self) -> float:
        """User and system time so far of the server and of every process of it that lives."""
        first = psutil.Process(self.pid)
        return sum(sum(process.cpu_times()[:2]) for process in (first, *first.children(recursive=True)))


@contextmanager
def running_postgres() -> Iterator[RunningPostgres]:
    """Run a server with an empty database until the block ends.

    Raises:
        TimeoutError: it does not answer.
    """
    password = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="turnpike-bench-postgres-") as folder:
        cluster = asyncio.run(postgres.prepare(Path(folder) / "data", password))
        uid, gid = cluster.user or (None, None)
        process = subprocess.Popen(
            cluster.command(port),
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        try:
            dsn = postgres.dsn(port, password)
            deadline = time.monotonic() + START_LIMIT_S
            while not asyncio.run(postgres.accepts(dsn)):
                if time.monotonic() > deadline:
                    raise TimeoutError("PostgreSQL does not answer")
                time.sleep(0.1)
            yield RunningPostgres(dsn, process.pid)
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(START_LIMIT_S)
