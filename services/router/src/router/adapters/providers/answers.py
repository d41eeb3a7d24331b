"""Reading of a provider's answer: bounded in size, cancelled at once when it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import aiohttp

from dialects.answers import Answer
from dialects.errors import SseError, UpstreamAnswerError
from dialects.upstream import StreamReader
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.errors import AttemptFailedError


def media_type(response: aiohttp.ClientResponse) -> str:
    """The media type of an answer in lower case, without parameters; empty when it has none."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _bad(detail: str) -> AttemptFailedError:
    return AttemptFailedError(AttemptFailure(FailureKind.BAD_ANSWER, 200, detail))


async def read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a whole body.

    Raises:
        AttemptFailedError: it is longer than `limit` bytes.
        aiohttp.ClientError: the connection broke.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        size += len(piece)
        if size > limit:
            raise _bad("the answer is too long")
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class WholeCall:
    """An answer that comes in one piece."""

    def __init__(
        self, response: aiohttp.ClientResponse, limit: int, read_answer: Callable[[bytes, str], Answer]
    ) -> None:
        self._response = response
        self._limit = limit
        self._read_answer = read_answer
        self._done = False

    async def read(self, within: float) -> Sequence[Answer] | None:
        """Return the answer, then None. See `router.domain.ports.UpstreamCall`."""
        if self._done:
            return None
        try:
            async with asyncio.timeout(within):
                body = await read_bounded(self._response, self._limit)
        except TimeoutError:
            raise AttemptFailedError(AttemptFailure(FailureKind.TIMEOUT, 200, "the answer stalled")) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _bad(f"the answer broke off: {type(error).__name__}") from None
        self._done = True
        try:
            return (self._read_answer(body, media_type(self._response)),)
        except UpstreamAnswerError as error:
            raise _bad(str(error)) from None

    def close(self) -> None:
        """Close the connection unless the answer is complete, in which case it is in the pool again."""
        self._response.close()


class StreamCall:
    """An answer that comes in events, whatever their framing."""

    def __init__(self, response: aiohttp.ClientResponse, limit: int, reader: StreamReader) -> None:
        self._response = response
        self._content = response.content
        self._reader = reader
        self._left = limit
        self._done = False
        self._failure: AttemptFailedError | None = None

    async def read(self, within: float) -> Sequence[Answer] | None:
        """Return what has arrived. See `router.domain.ports.UpstreamCall`."""
        if self._failure is not None:
            raise self._failure
        if self._done:
            return None
        try:
            piece = self._content.read_nowait()
            if not piece and not self._content.at_eof():
                async with asyncio.timeout(within):
                    piece = await self._content.readany()
        except TimeoutError:
            raise AttemptFailedError(AttemptFailure(FailureKind.TIMEOUT, 200, "the stream stalled")) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _bad(f"the stream broke off: {type(error).__name__}") from None
        if not piece:
            self._done = True
            return None
        self._left -= len(piece)
        answers: list[Answer] = []
        try:
            if self._left < 0:
                raise SseError("the answer is too long")
            # One by one, so that those before a fault are kept.
            for answer in self._reader.feed(piece):
                answers.append(answer)
            self._done = self._reader.done
        except (SseError, UpstreamAnswerError) as error:
            # What came before the fault in the same piece is good, and is handed out first.
            self._failure = _bad(str(error))
            if not answers:
                raise self._failure from None
        return answers if answers or not self._done else None

    def close(self) -> None:
        """Close the connection unless the answer is complete, in which case it is in the pool again."""
        self._response.close()
