"""What people are told while the stack runs. Nothing secret goes through here but the API key of the last message."""

from __future__ import annotations

import contextlib
import time
from typing import Protocol

from rich.console import Console
from rich.text import Text


class Report(Protocol):
    """Where the stack says what happens. Each call is one line."""

    def progress(self, text: str) -> None:
        """Something is done."""
        ...

    def problem(self, text: str) -> None:
        """Something went wrong that the reader should know of."""
        ...


class ConsoleReport:
    """Lines with the time since the start, in colour where the output is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def progress(self, text: str) -> None:
        """Something is done."""
        self._line(text, "")

    def problem(self, text: str) -> None:
        """Something went wrong that the reader should know of."""
        self._line(text, "yellow")

    def show(self, text: str, style: str = "") -> None:
        """A line as it is: never wrapped, so that it can be copied."""
        self._print(Text(text, style=style))

    def _line(self, text: str, style: str) -> None:
        self._print(Text(f"{self.elapsed:6.1f} s  ", style="dim") + Text(text, style=style))

    def _print(self, text: Text) -> None:
        # A reader that has gone (a closed terminal, `| head`) must not keep the stack from stopping in order.
        with contextlib.suppress(OSError):
            self._console.print(text, soft_wrap=True)
