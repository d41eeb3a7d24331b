"""Reading a PDF in a process of its own."""

from __future__ import annotations

import asyncio

import pytest

from edge.adapters.pdf_text import PdfTexts
from edge.domain.errors import InvalidInputError
from servicekit.durations import parse_duration


def reader(timeout: str = "20s", workers: int = 1, waiting: int = 0) -> PdfTexts:
    return PdfTexts(pages=3, timeout=parse_duration(timeout), workers=workers, waiting=waiting)


async def test_a_document_that_takes_too_long_is_given_up() -> None:
    # No process starts within a millisecond.
    with pytest.raises(InvalidInputError, match="too long"):
        await reader("1ms").read(b"%PDF-1.7")


async def test_what_is_no_document_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="not a PDF"):
        await reader().read(b"%PDF-1.7\n" + b"\x00" * 100_000)


async def test_more_documents_than_may_wait_are_too_many() -> None:
    texts = reader(workers=1, waiting=1)
    results = await asyncio.gather(*(texts.read(b"nothing") for _ in range(3)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == [
        "BusyError",
        "InvalidInputError",
        "InvalidInputError",
    ]
    # Their places are free again.
    with pytest.raises(InvalidInputError):
        await texts.read(b"nothing")
