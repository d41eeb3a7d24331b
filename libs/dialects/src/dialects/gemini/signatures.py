"""Thought signatures, carried by `reasoning_details`: to the caller, and verbatim back to the part that they belong to.

The detail's `id` says which part that is: the id of a call, `text` for the text, `image-<n>` for an image, none for a
part of its own without text, with which a stream ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FORMAT = "google-gemini-v1"
TEXT_ID = "text"
_IMAGE = "image-"
# Google's documented stand-in for a call that another model made: without a signature the API refuses it.
NO_SIGNATURE = "skip_thought_signature_validator"


def image_id(number: int) -> str:
    """The id of a signature that belongs to an image of a message."""
    return f"{_IMAGE}{number}"


def thought_detail(index: int, text: str, signature: str) -> dict[str, Any]:
    """Describe a thought, or a piece of one."""
    detail: dict[str, Any] = {"type": "reasoning.text", "text": text, "format": FORMAT, "index": index}
    if signature:
        detail["signature"] = signature
    return detail


def signature_detail(index: int, signature: str, owner: str | None) -> dict[str, Any]:
    """Describe the signature of a part that is no thought."""
    return {"type": "reasoning.encrypted", "data": signature, "id": owner, "format": FORMAT, "index": index}


class Signatures:
    """The signatures that came back with an assistant's message. Those of other providers' models are left out."""

    def __init__(self, details: Sequence[dict[str, Any]] | None) -> None:
        self._owned: dict[str, str] = {}
        self._loose: list[str] = []
        self._thoughts: dict[object, list[str]] = {}
        for detail in details or ():
            if detail.get("format") != FORMAT:
                continue
            if detail.get("type") == "reasoning.encrypted":
                self._take_signature(detail.get("data"), detail.get("id"))
            elif detail.get("type") == "reasoning.text":
                self._take_thought(detail)

    def _take_signature(self, signature: object, owner: object) -> None:
        if not isinstance(signature, str) or not signature:
            return
        if isinstance(owner, str) and owner and owner not in self._owned:
            self._owned[owner] = signature
        else:
            self._loose.append(signature)

    def _take_thought(self, detail: dict[str, Any]) -> None:
        text, signature, index = detail.get("text"), detail.get("signature"), detail.get("index")
        pieces = self._thoughts.setdefault(index if isinstance(index, int) else None, ["", ""])
        pieces[0] += text if isinstance(text, str) else ""
        pieces[1] += signature if isinstance(signature, str) else ""

    def take(self, owner: str) -> str:
        """Take the signature of a part, empty when it has none."""
        return self._owned.pop(owner, "")

    def take_for_calls(self, call_ids: Sequence[str]) -> list[str]:
        """Take the signatures of calls, empty for the ones that have none.

        A client that gave the calls other ids has lost the connection. The API signs the first call of several, so the
        first gets the first that is left.
        """
        signatures = [self.take(call_id) for call_id in call_ids]
        if signatures and not any(signatures):
            lost = [owner for owner in self._owned if owner != TEXT_ID and not owner.startswith(_IMAGE)]
            if lost:
                signatures[0] = self.take(lost[0])
        return signatures

    def take_loose(self) -> list[str]:
        """Take the signatures that belong to no other part."""
        loose, self._loose = self._loose, []
        return loose

    @property
    def signed_thoughts(self) -> list[tuple[str, str]]:
        """Text and signature of each thought that has one. The API wants no others back."""
        return [(text, signature) for text, signature in self._thoughts.values() if signature]
