"""Files that are read at start and again whenever they change, keeping the last good value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

V = TypeVar("V")

_Fingerprint: TypeAlias = tuple[tuple[str, int, int, int], ...]

_log = get_logger(__name__)


class WatchedFiles(Component, Generic[V]):
    """A value parsed from files. Later faults in the files are logged and leave the last good value in place.

    A change is read once the files have looked the same in two polls, so that a file is not read while it is being
    written. Nothing is watched through the kernel: network and container file systems do not report every change.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        *,
        suffix: str,
        parse: Callable[[Sequence[tuple[str, str]]], V],
        clock: Clock,
        interval: timedelta = timedelta(seconds=1),
        on_change: Callable[[V], None] | None = None,
    ) -> None:
        """Watch `paths`.

        Args:
            name: of this component in logs.
            paths: files, and folders of which every file below with the suffix counts. Hidden folders are left out:
                Kubernetes keeps the versions of a mounted ConfigMap in them.
            suffix: of the files to take from folders, such as `.yaml`.
            parse: makes the value of `(name, text)` pairs, in the order of names; raises ValueError. Runs in a thread.
            clock: paces the polls.
            interval: between two polls.
            on_change: called in the event loop with each new value, also the first.
        """
        self.name = name
        self._paths = tuple(paths)
        self._suffix = suffix
        self._parse = parse
        self._clock = clock
        self._interval = interval
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._loaded: _Fingerprint = ()
        self._seen: _Fingerprint | None = ()
        self._value: V | None = None

    @property
    def loaded(self) -> bool:
        """Whether there is a value yet."""
        return self._value is not None

    @property
    def value(self) -> V:
        """The last good value.

        Raises:
            RuntimeError: before the start.
        """
        if self._value is None:
            raise RuntimeError(f"{self.name}: not started")
        return self._value

    async def start(self) -> None:
        """Read the files for the first time.

        Raises:
            OSError: a path is missing or cannot be read.
            ValueError: the files cannot be parsed.
        """
        fingerprint = await asyncio.to_thread(self._scan)
        await self._load(fingerprint)

    async def run(self) -> None:
        """Poll until stopped."""
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(self._poll())
            await self._stopping.wait()
            polling.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop polling. The value stays."""
        self._stopping.set()

    async def refresh(self) -> bool:
        """Look once; say whether there is a new value."""
        try:
            fingerprint = await asyncio.to_thread(self._scan)
            if fingerprint == self._loaded:
                self._seen = fingerprint
                return False
            if fingerprint != self._seen:
                self._seen = fingerprint
                return False
            # Noted before the reading: a fault is logged once for each change, not at each poll.
            self._loaded = fingerprint
            await self._load(fingerprint)
        except (OSError, ValueError) as error:
            self._reject(error)
            return False
        _log.info("files.reloaded", component=self.name, files=len(fingerprint))
        return True

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(self._interval.total_seconds())
            await self.refresh()

    async def _load(self, fingerprint: _Fingerprint) -> None:
        value = await asyncio.to_thread(self._read, fingerprint)
        self._value, self._loaded, self._seen = value, fingerprint, fingerprint
        if self._on_change is not None:
            self._on_change(value)

    def _reject(self, error: Exception) -> None:
        # A path that is gone has no fingerprint to compare; `_seen` then says that it was reported.
        if isinstance(error, OSError):
            if self._seen is None:
                return
            self._seen = None
        _log.warning("files.rejected", component=self.name, error=str(error))

    def _scan(self) -> _Fingerprint:
        found: list[tuple[str, int, int, int]] = []
        for path in self._files():
            status = path.stat()
            found.append((str(path), status.st_ctime_ns, status.st_size, status.st_ino))
        return tuple(sorted(found))

    def _files(self) -> set[Path]:
        files: set[Path] = set()
        for root in self._paths:
            if root.is_dir():
                below = (path for path in root.rglob(f"*{self._suffix}") if path.is_file())
                files.update(path for path in below if not _is_hidden(path.relative_to(root)))
            else:
                files.add(root)
        return files

    def _read(self, fingerprint: _Fingerprint) -> V:
        texts: list[tuple[str, str]] = []
        for name, *_ in fingerprint:
            try:
                texts.append((name, Path(name).read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                raise ValueError(f"{name}: not UTF-8") from None
        return self._parse(texts)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
