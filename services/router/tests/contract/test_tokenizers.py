"""Tokenizers of endpoints: the double that has them at hand, and the adapter that loads them when they are wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contracts.catalog import Endpoint
from router.adapters.tokenizers import LoadedTokenizers
from router.domain.ports import Tokenizers
from router.testing.catalogs import Offer, catalog_of
from router.testing.doubles import ReadyTokenizers
from router.testing.waiting import eventually
from servicekit.testing import running


def endpoint(tokenizer: str) -> Endpoint:
    (only,) = catalog_of(Offer("a", tokenizer=tokenizer)).endpoints.values()
    return only


@pytest.fixture(params=["double", "adapter"])
async def tokenizers(request: pytest.FixtureRequest) -> AsyncIterator[Tokenizers]:
    if request.param == "double":
        yield ReadyTokenizers()
        return
    adapter = LoadedTokenizers()
    async with running(adapter):
        yield adapter


async def test_a_known_one_is_at_hand_soon_after_it_is_wanted(tokenizers: Tokenizers) -> None:
    await eventually(lambda: tokenizers.of(endpoint("GPT")) is not None)
    found = tokenizers.of(endpoint("GPT"))
    assert found is not None
    assert found.count("hello world") == 2


async def test_there_is_none_for_other_families(tokenizers: Tokenizers) -> None:
    assert tokenizers.of(endpoint("Claude")) is None
    assert tokenizers.of(endpoint("Other")) is None
