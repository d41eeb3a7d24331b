"""The form of the answer: natively where the endpoint can, else in words."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from dialects.anthropic.schemas import strict_schema
from dialects.chat import ChatBody, GrammarFormat, JsonObjectFormat, JsonSchema, JsonSchemaFormat, PythonFormat
from dialects.errors import UnsupportedRequestError
from dialects.parameters import supports

_JSON_ONLY = "Answer with a single JSON object and nothing else: no prose around it, no code fence."


def wanted_schema(body: ChatBody) -> JsonSchema | None:
    """The schema that the answer is to follow, None when there is none."""
    wanted = body.response_format
    if isinstance(wanted, JsonSchemaFormat) and wanted.json_schema.schema is not None:
        return wanted.json_schema
    return None


def answer_schema(body: ChatBody, supported: AbstractSet[str]) -> dict[str, Any] | None:
    """The schema for structured outputs, None when none is wanted or the endpoint has none."""
    wanted = wanted_schema(body)
    if wanted is None or wanted.schema is None or "structured_outputs" not in supported:
        return None
    return strict_schema(wanted.schema)


def answer_instruction(body: ChatBody, supported: AbstractSet[str]) -> str | None:
    """Say in words which form the answer is to have, when the endpoint honours `response_format` and has no other way.

    Raises:
        UnsupportedRequestError: a grammar is asked for.
    """
    wanted = body.response_format
    if wanted is None or not supports("response_format", supported):
        return None
    if isinstance(wanted, GrammarFormat | PythonFormat):
        raise UnsupportedRequestError("the dialect cannot hold an answer to a grammar")
    if isinstance(wanted, JsonObjectFormat):
        return _JSON_ONLY
    if not isinstance(wanted, JsonSchemaFormat) or answer_schema(body, supported) is not None:
        return None
    if wanted.json_schema.schema is None:
        return _JSON_ONLY
    return f"{_JSON_ONLY} It follows this JSON Schema:\n{msgspec.json.encode(wanted.json_schema.schema).decode()}"
