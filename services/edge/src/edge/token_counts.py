"""Counts the tokens of a prompt that nobody sends to a provider."""

from __future__ import annotations

import asyncio

from dialects.chat import ChatRequest
from dialects.prompt_counts import count_prompt
from dialects.tokenizers import TextCount, Tokenizer, encoding_of, load_tokenizer
from edge.catalog import CatalogMirror


class TokenCounts:
    """Counts prompts: with the model's tokenizer where it is known, else by an estimate."""

    def __init__(self, catalog: CatalogMirror) -> None:
        """Make the use case.

        Args:
            catalog: says what tokenizer a model has.
        """
        self._catalog = catalog
        self._loaded: dict[str, Tokenizer] = {}

    async def count(self, request: ChatRequest) -> TextCount:
        """Count a request's prompt.

        A name that the catalogue does not have may still be one of the router's (an alias), so its prompt is estimated.

        Raises:
            DependencyError: the catalogue is not known, because the router has not answered yet.
        """
        catalog = await self._catalog.require()
        model = catalog.find_listed(request.body.model or "")
        encoding = None if model is None else encoding_of(model.id, model.tokenizer)
        return count_prompt(request.body, None if encoding is None else await self._tokenizer(encoding))

    async def _tokenizer(self, encoding: str) -> Tokenizer:
        found = self._loaded.get(encoding)
        if found is None:
            # Tens of milliseconds, the first time.
            found = self._loaded[encoding] = await asyncio.to_thread(load_tokenizer, encoding)
        return found
