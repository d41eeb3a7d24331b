"""Which endpoint a conversation stays with, so that the provider's prompt cache stays warm.

The key of a conversation is made of the organisation, the models, and the session id, the prompt cache key, or the first
instruction and the first other message. It is a digest: nothing of the prompt is kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from contracts.ids import EndpointId
from dialects.chat import ChatRequest

IDLE_SECONDS = 600.0
MOST_CONVERSATIONS = 100_000
_INSTRUCTIONS = frozenset({"system", "developer"})
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a request is part of.

    Attributes:
        key: names it; 16 bytes.
        named: whether the caller named it by a session id: it then stays after any answer, not only after a cache hit.
    """

    key: bytes
    named: bool


def conversation_of(request: ChatRequest, org_id: str) -> Conversation:
    """Say which conversation a request is part of."""
    body = request.body
    digest = hashlib.blake2b(digest_size=16)
    for part in (org_id, body.model or "", *(body.models or ())):
        digest.update(part.encode())
        digest.update(b"\0")
    if body.session_id:
        digest.update(b"s" + body.session_id.encode())
    elif body.prompt_cache_key:
        digest.update(b"c" + body.prompt_cache_key.encode())
    else:
        for message in _opening(request):
            digest.update(_encode(message))
    return Conversation(digest.digest(), named=bool(body.session_id))


def _opening(request: ChatRequest) -> list[object]:
    """The first instruction and the first other message, which every later request of the conversation repeats."""
    messages = request.document["messages"]
    instruction = next((each for each in messages if each.get("role") in _INSTRUCTIONS), None)
    other = next((each for each in messages if each.get("role") not in _INSTRUCTIONS), None)
    return [each for each in (instruction, other) if each is not None]


@dataclass(slots=True)
class _Place:
    endpoint_id: EndpointId
    until: float


@dataclass(slots=True)
class StickyPlaces:
    """Where conversations were answered last. The oldest are forgotten when there are too many."""

    _places: OrderedDict[bytes, _Place] = field(default_factory=OrderedDict)

    def find(self, conversation: Conversation, now: float) -> EndpointId | None:
        """Return where it was answered last, None when that is more than ten minutes ago."""
        place = self._places.get(conversation.key)
        if place is None:
            return None
        if now >= place.until:
            del self._places[conversation.key]
            return None
        return place.endpoint_id

    def answered(self, conversation: Conversation, endpoint_id: EndpointId, now: float, *, cached_tokens: int) -> None:
        """Note who gave a whole answer. Without a name, a conversation stays only where its prompt was cached."""
        if not conversation.named and not cached_tokens and conversation.key not in self._places:
            return
        self._places[conversation.key] = _Place(endpoint_id, now + IDLE_SECONDS)
        self._places.move_to_end(conversation.key)
        if len(self._places) > MOST_CONVERSATIONS:
            self._places.popitem(last=False)
