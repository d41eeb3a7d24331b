"""Thinking blocks and `reasoning_details`: the same thing in the words of the Messages API and of chat completions.

Thinking of Anthropic's models goes through as it is. Of any other vendor's reasoning the Messages API can carry the text and
one opaque string, the signature (or the data of a redacted block): what else there is to it travels in that string, in an
envelope, and is taken out of it when the caller returns the block. Clients return both unchanged, as the API demands of them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from dialects.anthropic.reasoning_details import CLAUDE_FORMAT, ENCRYPTED, TEXT

SUMMARY = "reasoning.summary"

# No signature of Anthropic's has a colon: they are base64.
_ENVELOPE = "turnpike:1:"
# What nobody says is not worth an envelope.
_UNSAID = (None, "", "unknown")
# Where a kind of reasoning keeps its text.
TEXT_MEMBERS: Mapping[str, str] = {TEXT: "text", SUMMARY: "summary"}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def seal(detail: Mapping[str, Any]) -> str:
    """Write a reasoning detail, its text left out, as a signature or as the data of a redacted block."""
    kind = detail.get("type")
    opaque = detail.get("data" if kind == ENCRYPTED else "signature")
    opaque = opaque if isinstance(opaque, str) else ""
    plain = {"type", "index", "text", "signature", "data", "format"}
    rest = {name: value for name, value in detail.items() if name not in plain and value is not None}
    if kind in (TEXT, ENCRYPTED) and not rest:
        if detail.get("format") == CLAUDE_FORMAT and not opaque.startswith(_ENVELOPE):
            return opaque
        if kind == TEXT and not opaque and detail.get("format") in _UNSAID:
            return ""
    inside = {
        name: value
        for name, value in detail.items()
        if name not in ("index", TEXT_MEMBERS.get(str(kind))) and value is not None
    }
    return _ENVELOPE + base64.urlsafe_b64encode(_encode(inside)).decode()


def unseal_thinking(text: str, signature: str, index: int) -> dict[str, Any]:
    """Read a thinking block as a reasoning detail."""
    inside = _opened(signature)
    if inside is None:
        detail: dict[str, Any] = {"type": TEXT, "text": text}
        if signature:
            detail |= {"signature": signature, "format": CLAUDE_FORMAT}
        return {**detail, "index": index}
    kind = inside.get("type")
    return {**inside, TEXT_MEMBERS.get(str(kind), "text"): text, "index": index}


def unseal_redacted(data: str, index: int) -> dict[str, Any]:
    """Read a redacted thinking block as a reasoning detail."""
    inside = _opened(data)
    if inside is None:
        inside = {"type": ENCRYPTED, "data": data, "format": CLAUDE_FORMAT}
    return {**inside, "index": index}


def _opened(opaque: str) -> dict[str, Any] | None:
    """What is in an envelope; None when it is none. A broken one is treated like any other signature: its model refuses it."""
    if not opaque.startswith(_ENVELOPE):
        return None
    try:
        inside = _decode(base64.urlsafe_b64decode(opaque[len(_ENVELOPE) :]))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return None
    return inside if isinstance(inside.get("type"), str) else None
