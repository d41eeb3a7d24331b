"""Reading a chat completions request, and writing it again without loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dialects.chat.request import ChatBody
from dialects.errors import InvalidRequestError
from dialects.request_reading import convert_request, parse_request

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request.

    Attributes:
        body: its documented members, typed.
        document: the JSON object that it was read from, with all members, the unknown ones too; without the members
            that were null. Never change it: make another request by `with_members`.
    """

    # Neither may show up in a log by way of a repr: both hold the prompt.
    body: ChatBody = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)

    def with_members(self, changes: Mapping[str, Any]) -> ChatRequest:
        """Return the request with top-level members replaced; None removes one.

        Raises:
            InvalidRequestError: the result is not valid.
        """
        return chat_request_from_document({**self.document, **changes})


def decode_chat_request(data: bytes) -> ChatRequest:
    """Read and validate a request.

    Args:
        data: JSON in UTF-8. Where a member is repeated, the last one counts and is the only one kept.

    Raises:
        InvalidRequestError: not JSON, deeper than MAX_DEPTH, or a member is missing or wrong.
    """
    return chat_request_from_document(parse_request(data))


def chat_request_from_document(document: object) -> ChatRequest:
    """Validate a request that is already parsed.

    Raises:
        InvalidRequestError: a member is missing or wrong.
    """
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if value is not None}
    body = convert_request(document, ChatBody)
    if not isinstance(document, dict):
        raise InvalidRequestError("the body must be a JSON object", None)
    return ChatRequest(body=body, document=document)


def encode_chat_request(request: ChatRequest) -> bytes:
    """Write a request as compact JSON in UTF-8: each member once, in the order they came, nulls at the top left out."""
    return _encode(request.document)
