"""Reading of request bodies within limits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from edge.api.http.errors import HttpError

_JSON: Final = "application/json"


class JsonBodies:
    """Reads JSON bodies of bounded size from callers of bounded patience."""

    def __init__(self, limit: int, idle: timedelta) -> None:
        """Make a reader.

        Args:
            limit: bytes.
            idle: how long no byte may come.
        """
        self._limit = limit
        self._idle_s = idle.total_seconds()

    async def read(self, request: web.BaseRequest, media_type: str = _JSON) -> bytes:
        """Read the whole body.

        Args:
            request: whose body.
            media_type: of the body; where a request names none it is taken for this.

        Raises:
            HttpError: too large (413), compressed or of another media type (415), too slow (408), or broken (400).
        """
        headers = request.headers
        if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            # S30: nothing is decompressed here, so there is no bomb to defuse.
            raise HttpError(415, "Content-Encoding is not supported: send the body as it is")
        content_type = headers.get("Content-Type")
        if content_type is not None and content_type.partition(";")[0].strip().lower() != media_type:
            raise HttpError(415, f"Content-Type must be {media_type}")
        if (request.content_length or 0) > self._limit:
            raise self._too_large()
        await self._continue(request)
        content = request.content
        try:
            if content.is_eof():
                data = content.read_nowait()
            else:
                data = await self._read_slowly(content)
        except (RequestPayloadError, HttpProcessingError):
            raise HttpError(400, "The request body is broken") from None
        if len(data) > self._limit:
            raise self._too_large()
        return data

    async def _read_slowly(self, content: StreamReader) -> bytes:
        data = bytearray()
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    piece = await content.readany()
            except TimeoutError:
                raise HttpError(408, "The request body did not arrive in time", "timeout") from None
            if not piece:
                return bytes(data)
            data += piece
            if len(data) > self._limit:
                raise self._too_large()

    async def _continue(self, request: web.BaseRequest) -> None:
        """Tell a caller who asks first (curl does from a mebibyte on) to go on."""
        expectation = request.headers.get("Expect")
        if expectation is None:
            return
        if expectation.strip().lower() != "100-continue":
            raise HttpError(417, "The expectation cannot be met")
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The final answer's headers are still to come.
        request.writer.output_size = 0

    def _too_large(self) -> HttpError:
        return HttpError(413, f"The request body is larger than {self._limit} bytes", "payload_too_large")
