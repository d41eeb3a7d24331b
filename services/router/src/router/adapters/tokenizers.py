"""Tokenizers, loaded when they are first wanted: their vocabularies are large, and most routers need none of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from contracts.catalog import Endpoint
from dialects.tokenizers import Tokenizer, encoding_of, load_tokenizer
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)


class LoadedTokenizers(Component):
    """Keeps the tokenizers that were asked for; until one is loaded, it is not at hand."""

    name = "tokenizers"

    def __init__(self) -> None:
        self._loaded: dict[str, Tokenizer] = {}
        self._wanted: set[str] = set()
        self._news = asyncio.Event()
        self._stopping = False

    def of(self, endpoint: Endpoint) -> Tokenizer | None:
        """The tokenizer of an endpoint's model; None when it is not known, or not at hand yet."""
        encoding = encoding_of(endpoint.model_id, endpoint.tokenizer)
        if encoding is None:
            return None
        tokenizer = self._loaded.get(encoding)
        if tokenizer is None and encoding not in self._wanted:
            self._wanted.add(encoding)
            self._news.set()
        return tokenizer

    async def run(self) -> None:
        """Load what is wanted, in a thread: it takes tens of milliseconds."""
        while not self._stopping:
            await self._news.wait()
            self._news.clear()
            for encoding in sorted(self._wanted - self._loaded.keys()):
                self._loaded[encoding] = await asyncio.to_thread(load_tokenizer, encoding)
                _log.info("tokenizer.loaded", encoding=encoding)

    async def stop(self, grace: timedelta) -> None:
        """Load nothing more."""
        self._stopping = True
        self._news.set()
