"""Calls to ClickHouse off the event loop: the client is synchronous, and chDB answers one call at a time.

An embedded engine (`chdb:///path`) gets one thread, which makes the client and every call: its calls are serialised
anyway. A server (`http://…`) gets a few, so that a slow question does not hold up the ingest.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlparse

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, ProgrammingError

from metering.domain.errors import (
    AnswerTooLongError,
    QuestionTooHeavyError,
    UsageLogBusyError,
    UsageLogRefusedError,
    UsageLogUnavailableError,
)
from servicekit.clock import Clock
from servicekit.logs import get_logger

_log = get_logger(__name__)

T = TypeVar("T")

# Codes of ClickHouse for "the tables and this version do not fit": the same call can never work. Everything else (no
# connection, disk full, too many parts, out of memory, read-only) may pass.
_REFUSALS: Final = frozenset(
    {
        16,  # NO_SUCH_COLUMN_IN_TABLE
        43,  # ILLEGAL_TYPE_OF_ARGUMENT
        46,  # UNKNOWN_FUNCTION
        47,  # UNKNOWN_IDENTIFIER
        53,  # TYPE_MISMATCH
        60,  # UNKNOWN_TABLE
        62,  # SYNTAX_ERROR
        81,  # UNKNOWN_DATABASE
        115,  # UNKNOWN_SETTING
        184,  # ILLEGAL_AGGREGATION
        215,  # NOT_AN_AGGREGATE
        497,  # ACCESS_DENIED
    }
)
# TIMEOUT_EXCEEDED, TOO_SLOW, MEMORY_LIMIT_EXCEEDED: a smaller question would do. A step of a batch is never that heavy, and
# is repeated.
_TOO_HEAVY: Final = frozenset({159, 160, 241})
_TOO_MANY_ROWS: Final = 158
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 2.0
_CONNECT_TIMEOUT_S: Final = 5
_ANSWER_TIMEOUT_S: Final = 30  # of an insert too; the driver's 300 s would hold up a drain


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What the calls may take.

    Attributes:
        threads: calls at a time to a server; an embedded engine has one.
        waiting: questions that may wait for a thread; the next one is refused.
        patience: how long to wait for the store when starting: a killed predecessor may still hold the embedded engine's
            lock, and a server may start later than we do.
        query_timeout: after which the store gives a question up.
    """

    threads: int = 4
    waiting: int = 64
    patience: timedelta = timedelta(seconds=60)
    query_timeout: timedelta = timedelta(seconds=10)


class ClickHouseCalls:
    """Runs functions of a client in the store's threads, and turns the driver's errors into ours."""

    def __init__(
        self, dsn: str, clock: Clock, limits: CallLimits, settings: Mapping[str, str | int] | None = None
    ) -> None:
        """Prepare; `open` connects.

        Args:
            dsn: `chdb:///path` or `http(s)://user:password@host:port/database`.
            clock: paces the attempts to connect.
            limits: see there.
            settings: of ClickHouse, for every call.
        """
        self._settings = dict(settings or {})
        self._dsn = dsn
        self._clock = clock
        self._limits = limits
        self._embedded = dsn.startswith("chdb:")
        threads = 1 if self._embedded else limits.threads
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="clickhouse")
        self._client: Client | None = None
        self._pending = 0

    @property
    def embedded(self) -> bool:
        """Whether the engine is in this process, and answers one call at a time."""
        return self._embedded

    @property
    def pending(self) -> int:
        """Calls that run or wait."""
        return self._pending

    async def open(self) -> None:
        """Connect, and try again for as long as `patience` says.

        Raises:
            UsageLogUnavailableError: the store could not be opened in that time.
        """

        async def connect() -> None:
            self._client = await self._submit(self._connect)

        await self.patiently(connect)

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what a start needs, and again where the store is away, for as long as `patience` says.

        Raises:
            UsageLogUnavailableError: it could not be done in that time.
        """
        give_up_at = self._clock.monotonic() + self._limits.patience.total_seconds()
        delay = _FIRST_DELAY_S
        while True:
            try:
                return await work()
            except UsageLogUnavailableError as error:
                if self._clock.monotonic() + delay > give_up_at:
                    raise
                _log.warning("store.open_delayed", reason=str(error), retry_in_s=delay)
            await self._clock.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY_S)

    async def step(self, work: Callable[[Client], T]) -> T:
        """Run a step of a batch, however many questions wait.

        Raises:
            UsageLogUnavailableError: the store cannot be reached; nothing is known about what it did.
            UsageLogRefusedError: the store refused, and would again.
        """
        client = self._client
        if client is None:
            raise UsageLogUnavailableError("the store is not open")
        return await self._submit(lambda: work(client))

    async def ask(self, work: Callable[[Client], T]) -> T:
        """Run a question.

        Raises:
            UsageLogBusyError: too many are waiting.
            QuestionTooHeavyError: it takes more time or memory than a question may.
            AnswerTooLongError: it comes to more rows than its settings allow.
            UsageLogUnavailableError: the store cannot be reached.
            UsageLogRefusedError: the store refused, and would again.
        """
        if self._pending >= self._limits.waiting:
            raise UsageLogBusyError(f"{self._pending} calls are waiting for the store")
        try:
            return await self.step(work)
        except UsageLogUnavailableError as error:
            code = getattr(error.__cause__, "code", None)
            if code in _TOO_HEAVY:
                raise QuestionTooHeavyError(str(error)) from error
            if code == _TOO_MANY_ROWS:
                raise AnswerTooLongError(str(error)) from error
            raise

    async def close(self) -> None:
        """Finish what is running, drop what is waiting, and let the store go."""
        client, self._client = self._client, None
        if client is not None:
            await self._submit(client.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _submit(self, work: Callable[[], T]) -> T:
        future = self._threads.submit(work)
        self._pending += 1
        loop = asyncio.get_running_loop()
        # The thread goes on when the caller goes away, so the call counts until the thread is done with it.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._finished))
        try:
            return await asyncio.wrap_future(future)
        except (DataError, ProgrammingError) as error:
            raise _refused(error) from error
        except ClickHouseError as error:
            if getattr(error, "code", None) in _REFUSALS:
                raise _refused(error) from error
            raise UsageLogUnavailableError(_first_line(error)) from error
        except OSError as error:
            raise UsageLogUnavailableError(_first_line(error)) from error

    def _finished(self) -> None:
        self._pending -= 1

    def _connect(self) -> Client:
        settings: dict[str, str | int] = {
            "async_insert": 0,
            "max_execution_time": int(self._limits.query_timeout.total_seconds()),
        }
        settings |= self._settings
        if not self._embedded:
            return clickhouse_connect.get_client(
                dsn=self._dsn,
                settings=settings,
                autogenerate_session_id=False,  # without a session several threads may use the client at once
                connect_timeout=_CONNECT_TIMEOUT_S,
                send_receive_timeout=_ANSWER_TIMEOUT_S,
            )
        path = Path(urlparse(self._dsn).path)
        try:
            return clickhouse_connect.get_client(dsn=self._dsn, settings=settings)
        except ProgrammingError as error:
            # The engine's error does not say why; it prints that to standard error.
            reason = "another process has it open" if _is_locked(path / "status") else _first_line(error)
            raise UsageLogUnavailableError(f"cannot open {path}: {reason}") from error


def _is_locked(status: Path) -> bool:
    """Whether somebody holds the embedded engine's lock."""
    if not status.exists():
        return False
    with status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _refused(error: Exception) -> UsageLogRefusedError:
    return UsageLogRefusedError(_first_line(error))


def _first_line(error: Exception) -> str:
    """The first line of an error: the statement that ClickHouse quotes below it holds people's data."""
    return str(error).partition("\n")[0][:200]
