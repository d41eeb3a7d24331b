"""Reads the text of one PDF: `python -m edge.adapters.pdf_text_worker PAGES SECONDS BYTES`, the document on standard input.

A process of its own, so that a document made to harm takes nothing down but this: memory, processor time and pages are bounded, and
whoever started it kills it when it takes too long. It opens no file and no connection. The answer is one JSON object: `text` and
`pages`, or `problem`.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import sys
from typing import Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError

_MEMORY_BYTES: Final = 1024 * 1024 * 1024


def read(data: bytes, most_pages: int, most_bytes: int) -> dict[str, object]:
    """Read the text of a document.

    Args:
        data: the PDF.
        most_pages: more are refused.
        most_bytes: of text; the rest is left out.
    """
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            return {"problem": "encrypted"}
        if len(reader.pages) > most_pages:
            return {"problem": "too many pages"}
        texts: list[str] = []
        left = most_bytes
        for page in reader.pages:
            text = page.extract_text()[:left]
            texts.append(text)
            left -= len(text)
    except (
        PyPdfError,
        MemoryError,
        RecursionError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OSError,
    ):
        # Whatever a broken document makes the library raise, it is broken.
        return {"problem": "unreadable"}
    return {"text": "\n\n".join(text for text in texts if text.strip()), "pages": len(texts)}


def main() -> None:
    """Read standard input, write the answer."""
    pages, seconds, size = (int(argument) for argument in sys.argv[1:4])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    json.dump(read(sys.stdin.buffer.read(), pages, size), sys.stdout)


if __name__ == "__main__":
    main()
