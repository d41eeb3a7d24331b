"""Texts of PDFs by pypdf, each in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Final

import msgspec

from edge.domain.errors import BusyError, InvalidInputError
from edge.ports import DocumentText

_MAX_TEXT: Final = 1_000_000
_PROBLEMS: Final = {
    "encrypted": "the document is encrypted",
    "too many pages": "the document has too many pages",
    "unreadable": "not a PDF that can be read",
}


class _Answer(msgspec.Struct):
    text: str = ""
    pages: int = 0
    problem: str = ""


class PdfTexts:
    """Reads the text of PDFs."""

    def __init__(self, *, pages: int, timeout: timedelta, workers: int, waiting: int) -> None:
        """Make a reader.

        Args:
            pages: most pages of a document.
            timeout: for a document.
            workers: documents that are read at the same time.
            waiting: documents that may wait for their turn.
        """
        self._pages = pages
        self._timeout_s = timeout.total_seconds()
        self._turns = asyncio.Semaphore(workers)
        self._most = workers + waiting
        self._in_hand = 0

    async def read(self, data: bytes) -> DocumentText:
        """Read a document.

        Raises:
            InvalidInputError: it cannot be read, or not within the limits.
            BusyError: too many are in hand.
        """
        if self._in_hand >= self._most:
            raise BusyError
        self._in_hand += 1
        try:
            async with self._turns:
                return await self._run(data)
        finally:
            self._in_hand -= 1

    async def _run(self, data: bytes) -> DocumentText:
        limits = (str(self._pages), str(max(1, int(self._timeout_s))), str(_MAX_TEXT))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", "edge.adapters.pdf_text_worker", *limits,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={},
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout_s):
                output, _ = await process.communicate(data)
        except TimeoutError:
            raise InvalidInputError("reading the document takes too long") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            answer = msgspec.json.decode(output, type=_Answer)
        except msgspec.MsgspecError:
            # Its memory or its time was over.
            raise InvalidInputError("reading the document takes too much") from None
        if answer.problem:
            raise InvalidInputError(_PROBLEMS.get(answer.problem, _PROBLEMS["unreadable"]))
        return DocumentText(answer.text, answer.pages)
