"""What the answers to all operations have in common: an error object in place of an answer, usage in tokens."""

from __future__ import annotations

from typing import Any

from dialects.answers import Answer, Usage
from dialects.json_values import count_in, decode_object, object_in
from dialects.openai_compatible.errors import find_error
from dialects.operations.products import Product


def read_document(body: bytes) -> tuple[dict[str, Any], Answer | None]:
    """Read a JSON answer, and say whether it is an error.

    Raises:
        UpstreamAnswerError: not JSON.
    """
    document = decode_object(body)
    error = find_error(document)
    return document, Answer(error=error) if error is not None else None


def read_token_usage(document: dict[str, Any]) -> Usage | None:
    """Token counts, whether they are called prompt, input or total tokens; None when there are none."""
    usage = object_in(document, "usage")
    prompt = _first(usage, "prompt_tokens", "input_tokens", "total_tokens")
    completion = _first(usage, "completion_tokens", "output_tokens")
    if prompt is None or (prompt == 0 and not completion):
        return None
    return Usage(prompt=prompt, completion=completion or 0)


def answered(product: Product, usage: Usage | None, answer_id: object = None) -> Answer:
    """Make the answer."""
    return Answer(id=answer_id if type(answer_id) is str else "", product=product, usage=usage)


def _first(usage: dict[str, Any], *names: str) -> int | None:
    for name in names:
        if usage.get(name) is not None:
            return count_in(usage, name)
    return None
