"""Answers that are kept for callers who ask the same again and want it.

What is kept is what the router sent, so that a hit goes the same way as an answer: in the dialect, whole or streamed, with an
id and a time of its own. A hit costs nothing and uses no tokens, because no provider is asked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final

from opentelemetry.metrics import Meter

from dialects.chat import ChatRequest, encode_chat_request
from edge.domain.cache_wish import CacheWish
from edge.domain.principal import Key, Principal
from edge.generations import Generation, failure_of
from servicekit.clock import Clock
from servicekit.metrics import CounterSpec, GaugeSpec
from turnpike.router.v1 import completion_pb2, router_service_pb2
from turnpike.usage.v1 import usage_event_pb2

_LOOKUPS: Final = CounterSpec(
    "edge.response_cache.lookups", "{lookup}", "Look-ups of kept answers, by whether there was one."
)
_BYTES: Final = GaugeSpec("edge.response_cache.size", "By", "Bytes of kept answers.")
# Of one answer: longer ones are not kept.
_MAX_ANSWER_BYTES: Final = 1024 * 1024
# What an entry takes besides its messages.
_ENTRY_BYTES: Final = 512
# What changes with every request of a key, and says nothing of what the key may do. Any other member is part of the digest,
# so that an answer is not found again after the key was restricted.
_VOLATILE: Final = frozenset({"spent", "spend", "creator_spend", "revision"})

Message = router_service_pb2.CompleteResponse


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer.

    Attributes:
        source_id: the generation that it was.
        kept_at: in monotonic seconds.
        ttl_s: seconds that it is kept.
        size: bytes that it takes.
    """

    source_id: str
    messages: Sequence[Message] = field(repr=False)
    kept_at: float
    ttl_s: int
    size: int


def cache_key(
    principal: Principal, dialect: str, chat: ChatRequest, policy: bytes, *, streamed: bool, data_region: str
) -> bytes:
    """Name a request for the cache: who asks, in which dialect, whether as a stream, and the body with its members in their order.

    `policy` is what restricts the request besides its key; an answer is found again under the same one only. Headers are no part; the address that a request came to is, where it says in which region it must stay.
    """
    digest = hashlib.sha256()
    key = principal.key
    for text in (principal.org.org_id, dialect, str(streamed), data_region, *_policy(key)):
        digest.update(text.encode() + b"\x00")
    digest.update(hashlib.sha256(policy).digest())
    digest.update(encode_chat_request(chat))
    return digest.digest()


def _policy(key: Key) -> list[str]:
    return [f"{each.name}={getattr(key, each.name)!r}" for each in fields(key) if each.name not in _VOLATILE]


class ReplayCall:
    """A completion call that says again what another one said."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._left = list(reversed(messages))

    async def read(self) -> Message | None:
        """Return the next message; None after the last one."""
        return self._left.pop() if self._left else None

    async def finish(self) -> None:
        """There is nothing to wait for."""

    def cancel(self) -> None:
        """There is nothing to stop."""


class Recorder:
    """Notes the messages of an answer, as long as it is short enough to be kept."""

    def __init__(self, cache: ResponseCache, key: bytes, wish: CacheWish, generation_id: str) -> None:
        self._cache = cache
        self._key = key
        self._wish = wish
        self._generation_id = generation_id
        self._messages: list[Message] = []
        self._bytes = _ENTRY_BYTES

    def take(self, message: Message) -> None:
        """Note a message; with the last one of a good answer, the answer is kept."""
        self._bytes += message.ByteSize()
        if self._bytes > _MAX_ANSWER_BYTES:
            self._messages.clear()
            return
        self._messages.append(message)
        if message.HasField("outcome") and failure_of(message.outcome) is None:
            self._cache.keep(self._key, self._generation_id, self._messages, self._wish.ttl_s, self._bytes)


class ResponseCache:
    """Keeps answers in memory, within a bound of bytes; the one that was not asked for longest goes first."""

    def __init__(self, clock: Clock, meter: Meter, most_bytes: int) -> None:
        """Make a cache.

        Args:
            clock: tells ages.
            meter: of the service.
            most_bytes: of all answers together; 0 keeps none.
        """
        self._clock = clock
        self._most_bytes = most_bytes
        self._answers: OrderedDict[bytes, KeptAnswer] = OrderedDict()
        self._bytes = 0
        self._lookups = _LOOKUPS.create(meter)
        _BYTES.create(meter, lambda: self._bytes)

    def find(self, key: bytes, wish: CacheWish) -> KeptAnswer | None:
        """Find an answer that is not too old; clear it instead, where that is wanted."""
        found = self._answers.get(key)
        if found is not None and (wish.clear or self.age_s(found) >= found.ttl_s):
            self._drop(key)
            found = None
        if found is not None:
            self._answers.move_to_end(key)
        self._lookups.add(1, {"edge.response_cache.result": "hit" if found is not None else "miss"})
        return found

    def age_s(self, answer: KeptAnswer) -> int:
        """Whole seconds since an answer was kept."""
        return int(self._clock.monotonic() - answer.kept_at)

    def recorder(self, key: bytes, wish: CacheWish, generation_id: str) -> Recorder:
        """Make what notes an answer under a name."""
        return Recorder(self, key, wish, generation_id)

    def keep(self, key: bytes, source_id: str, messages: Sequence[Message], ttl_s: int, size: int) -> None:
        """Keep an answer."""
        if size > self._most_bytes:
            return
        self._drop(key)
        self._answers[key] = KeptAnswer(source_id, tuple(messages), self._clock.monotonic(), ttl_s, size)
        self._bytes += size
        while self._bytes > self._most_bytes:
            _, gone = self._answers.popitem(last=False)
            self._bytes -= gone.size

    def replay(self, answer: KeptAnswer, generation_id: str, created: int) -> Generation:
        """Say an answer again as a generation of its own, which costs nothing."""
        messages = [_without_usage(message) if message.HasField("outcome") else message for message in answer.messages]
        return Generation(generation_id, created, ReplayCall(messages), on_outcome=lambda outcome: None)

    def _drop(self, key: bytes) -> None:
        gone = self._answers.pop(key, None)
        if gone is not None:
            self._bytes -= gone.size


def _without_usage(message: Message) -> Message:
    copy = Message()
    copy.CopyFrom(message)
    outcome = completion_pb2.Outcome(
        status=usage_event_pb2.GENERATION_STATUS_COMPLETED,
        system_fingerprint=message.outcome.system_fingerprint,
        service_tier=message.outcome.service_tier,
    )
    copy.outcome.CopyFrom(outcome)
    return copy
