"""Mending JSON that a model wrote with mistakes: fences around it, words before it, missing brackets, wrong quotes."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from json_repair import repair_json

from dialects.chat import ChatBody, JsonObjectFormat, JsonSchemaFormat

# Beyond that a repair takes longer than it is worth; the answer stays as it is.
MAX_LENGTH: Final = 1_000_000
_FENCE: Final = re.compile(r"^\s*```(?:json)?\s*\n(?P<inside>.*?)\n?\s*```\s*$", re.DOTALL | re.IGNORECASE)


def wants_json(body: ChatBody) -> bool:
    """Whether the answer has to be JSON."""
    return isinstance(body.response_format, JsonObjectFormat | JsonSchemaFormat)


def heal(text: str) -> str | None:
    """Return valid JSON for a text that is nearly that; None when it is valid already, or when there is nothing to be saved.

    Only an object or an array is an answer; a repair that makes a bare string of prose is none.
    """
    if len(text) > MAX_LENGTH or _is_json(text):
        return None
    fenced = _FENCE.match(text)
    if fenced is not None and _is_json(fenced["inside"]):
        return fenced["inside"].strip()
    try:
        repaired: Any = repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    if not isinstance(repaired, dict | list) or not repaired:
        return None
    return json.dumps(repaired, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
