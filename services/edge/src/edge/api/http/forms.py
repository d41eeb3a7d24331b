"""Reading of forms with a file: bounded in every direction, and nothing of it touches the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import MultipartReader
from aiohttp.web_protocol import RequestPayloadError

from edge.api.http.errors import HttpError

FORM: Final = "multipart/form-data"
_FILE: Final = "file"
_MAX_PARTS: Final = 32
_MAX_FIELD_BYTES: Final = 64 * 1024
_PLAIN_ENCODINGS: Final = frozenset({"", "binary", "8bit", "7bit"})


@dataclass(frozen=True, slots=True)
class Form:
    """A form.

    Attributes:
        fields: the texts by name, in the order they came; a name may have several.
        file: what the field `file` holds; None where there is none.
        filename: what the caller calls it, empty where it does not.
    """

    fields: Mapping[str, list[str]]
    file: bytes | None = field(default=None, repr=False)
    filename: str = ""


class FormBodies:
    """Reads forms of bounded size from callers of bounded patience."""

    def __init__(self, limit: int, idle: timedelta) -> None:
        """Make a reader.

        Args:
            limit: bytes of the file.
            idle: how long no byte may come.
        """
        self._limit = limit
        self._idle_s = idle.total_seconds()

    async def read(self, request: web.BaseRequest) -> Form:
        """Read the whole form.

        Raises:
            HttpError: too large (413), compressed (415), too slow (408), or broken (400).
        """
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise HttpError(415, "Content-Encoding is not supported: send the body as it is")
        if (request.content_length or 0) > self._limit + _MAX_PARTS * _MAX_FIELD_BYTES:
            raise self._too_large()
        try:
            return await self._read(await request.multipart())
        except TimeoutError:
            raise HttpError(408, "The request body did not arrive in time", "timeout") from None
        except (RequestPayloadError, HttpProcessingError, ValueError, AssertionError, RuntimeError, Warning):
            # aiohttp's reader of forms raises all of these for what is none, and warns of odd headers.
            raise HttpError(400, "The form is broken") from None

    async def _read(self, reader: MultipartReader) -> Form:
        fields: dict[str, list[str]] = {}
        file: bytes | None = None
        filename = ""
        for _ in range(_MAX_PARTS):
            async with asyncio.timeout(self._idle_s):
                part = await reader.next()
            if part is None:
                return Form(fields, file, filename)
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise HttpError(400, "Each part of the form must have a name")
            if part.headers.get("Content-Transfer-Encoding", "").lower() not in _PLAIN_ENCODINGS:
                raise HttpError(415, "Content-Transfer-Encoding is not supported: send the file as it is")
            if "Content-Encoding" in part.headers:
                raise HttpError(415, "Content-Encoding is not supported: send the file as it is")
            if part.name == _FILE:
                file, filename = await self._bytes(part, self._limit), part.filename or ""
            else:
                text = await self._bytes(part, _MAX_FIELD_BYTES)
                fields.setdefault(part.name, []).append(text.decode())
        raise HttpError(400, f"A form has at most {_MAX_PARTS} parts")

    async def _bytes(self, part: BodyPartReader, limit: int) -> bytes:
        data = bytearray()
        while True:
            async with asyncio.timeout(self._idle_s):
                piece = await part.read_chunk()
            if not piece:
                return bytes(data)
            data += piece
            if len(data) > limit:
                raise self._too_large()

    def _too_large(self) -> HttpError:
        return HttpError(413, f"The file is larger than {self._limit} bytes", "payload_too_large")
