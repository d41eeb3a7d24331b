"""Reading a chat completions request, and writing it again without loss."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dialects.chat.request import ChatBody
from dialects.errors import InvalidRequestError

# S31. The JSON reader itself gives up at the interpreter's recursion limit, an order of magnitude later.
MAX_DEPTH = 64

_WHERE = re.compile(r"^(?P<reason>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`$")
# The messages of msgspec that quote a value.
_QUOTED_VALUE = re.compile(r"^Invalid (?:enum )?value .*$", re.DOTALL)
_PLAIN_NAMES = {"`str`": "string", "`int`": "integer", "`float`": "number", "`bool`": "boolean", "`array`": "array"}
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
    try:
        document = msgspec.json.decode(data)
    except RecursionError:
        raise InvalidRequestError(f"the body is nested more than {MAX_DEPTH} levels deep", None) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {_bounded(str(error))}", None) from None
    # Most bodies have fewer brackets than that in all, and counting them is much cheaper than walking the document.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and is_deeper_than(document, MAX_DEPTH):
        raise InvalidRequestError(f"the body is nested more than {MAX_DEPTH} levels deep", None)
    return chat_request_from_document(document)


def chat_request_from_document(document: object) -> ChatRequest:
    """Validate a request that is already parsed.

    Raises:
        InvalidRequestError: a member is missing or wrong.
    """
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if value is not None}
    try:
        body = msgspec.convert(document, ChatBody)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    if not isinstance(document, dict):
        raise InvalidRequestError("the body must be a JSON object", None)
    return ChatRequest(body=body, document=document)


def encode_chat_request(request: ChatRequest) -> bytes:
    """Write a request as compact JSON in UTF-8: each member once, in the order they came, nulls at the top left out."""
    return _encode(request.document)


def _invalid(text: str) -> InvalidRequestError:
    match = _WHERE.match(text)
    reason, path = (match["reason"], match["path"] or "") if match else (text, "")
    path = path.removeprefix(".")
    for name, plain in _PLAIN_NAMES.items():
        reason = reason.replace(name, plain)
    missing = _MISSING.match(reason)
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidRequestError(f"{path}: required", path)
    if _QUOTED_VALUE.match(reason):
        reason = "not one of the allowed values"
    reason = _bounded(reason[:1].lower() + reason[1:])
    if match and match["key"]:
        reason = f"each name: {reason}"
    return InvalidRequestError(f"{path}: {reason}" if path else reason, path or None)


def _bounded(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."


def is_deeper_than(document: object, limit: int) -> bool:
    """Say whether a JSON value is nested more than `limit` levels deep, without recursion."""
    level = [document]
    for _ in range(limit):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)  # type: ignore[attr-defined]  # only containers are kept below
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True
