"""Regular expressions of strangers, by RE2: their time is linear in the text, and their memory bounded."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import re2

_MAX_MEMORY: Final = 1 << 20


def found_in(pattern: str, text: str) -> bool:
    """Whether an expression is found in a text; one that is none is found nowhere."""
    expression = _compiled(pattern)
    return expression is not None and expression.search(text.encode()) is not None


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re2._Regexp | None:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error:
        return None
