"""The management side of the public API, as this command uses it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import aiohttp

from turnpike_cli.connection import Connection
from turnpike_cli.errors import NoAnswerError, RefusedError

_LIMIT = aiohttp.ClientTimeout(total=30, connect=5)
_loads = partial(json.loads, parse_float=Decimal)


class Gateway:
    """Calls with a management key, the token of a session or, with an empty one, as nobody. Amounts in answers are `Decimal` dollars."""

    def __init__(self, session: aiohttp.ClientSession, connection: Connection) -> None:
        self._session = session
        self._base_url = connection.base_url
        token = connection.management_key
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    @asynccontextmanager
    async def open(cls, connection: Connection) -> AsyncIterator[Gateway]:
        """A gateway for the length of the block."""
        async with aiohttp.ClientSession(timeout=_LIMIT) as session:
            yield cls(session, connection)

    async def create_key(self, name: str, limit_usd: Decimal | None, expires_at: str | None) -> Mapping[str, Any]:
        """Make a key; the answer has the whole key as `key`, for this once.

        Raises:
            NoAnswerError: nothing answers.
            RefusedError: the API refused.
        """
        # Decimal has no JSON of its own, and a float could not hold every nano-dollar.
        limit = "null" if limit_usd is None else format(limit_usd, "f")
        body = f'{{"name": {json.dumps(name)}, "limit": {limit}, "expires_at": {json.dumps(expires_at)}}}'
        return await self.call("POST", "/keys", body=body)

    async def keys(self, *, include_disabled: bool) -> list[Mapping[str, Any]]:
        """Every key, newest first.

        Raises:
            NoAnswerError: nothing answers.
            RefusedError: the API refused.
        """
        found: list[Mapping[str, Any]] = []
        while True:
            query = {"offset": str(len(found)), "include_disabled": str(include_disabled).lower()}
            page = await self.call("GET", "/keys", query=query)
            found += page["data"]
            if not page["data"] or len(found) >= page.get("total_count", 0):
                return found

    async def delete_key(self, digest: str) -> None:
        """Delete the key with this hash.

        Raises:
            NoAnswerError: nothing answers.
            RefusedError: the API refused.
        """
        await self.call("DELETE", f"/keys/{digest}")

    async def credits(self) -> Mapping[str, Decimal]:
        """Credit that was bought or given (`total_credits`), and used (`total_usage`).

        Raises:
            NoAnswerError: nothing answers.
            RefusedError: the API refused.
        """
        data: Mapping[str, Decimal] = (await self.call("GET", "/credits"))["data"]
        return data

    async def models(self) -> list[Mapping[str, Any]]:
        """Every model on offer.

        Raises:
            NoAnswerError: nothing answers.
            RefusedError: the API refused.
        """
        data: list[Mapping[str, Any]] = (await self.call("GET", "/models"))["data"]
        return data

    async def text(self, path: str, query: Mapping[str, str]) -> str:
        """Get what is no JSON.

        Raises:
            NoAnswerError: nothing answers.
            RefusedError: the API refused.
        """
        status, text = await self._ask("GET", path, query=query, body=None)
        if status >= 400:
            raise RefusedError(_refusal(status, _object(text) or {}))
        return text

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: str | None = None
    ) -> Mapping[str, Any]:
        """Make a call; `body` is JSON.

        Raises:
            NoAnswerError: nothing answers.
            RefusedError: the API refused.
        """
        status, text = await self._ask(method, path, query=query, body=body)
        document = _object(text)
        if document is None:
            url = self._base_url + path
            raise NoAnswerError(f"{url} answers with status {status} and no JSON object; is it Turnpike's base URL?")
        if status >= 400:
            raise RefusedError(_refusal(status, document))
        return document

    async def _ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None, body: str | None
    ) -> tuple[int, str]:
        url = self._base_url + path
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        try:
            async with self._session.request(method, url, params=query, data=body, headers=headers) as response:
                return response.status, await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = error.strerror if isinstance(error, aiohttp.ClientConnectorError) else str(error)
            reason = reason or type(error).__name__
            raise NoAnswerError(f"nothing answers at {self._base_url} ({reason}); is Turnpike running?") from None


def _object(text: str) -> dict[str, Any] | None:
    try:
        document = _loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _refusal(status: int, document: Mapping[str, Any]) -> str:
    error = document.get("error")
    message = str(error.get("message", "")) if isinstance(error, dict) else ""
    return f"refused with status {status}: {message or 'no reason is given'}"
