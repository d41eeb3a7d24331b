"""What is said: a pure function of seed, model name and prompt. A word is a token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sim.agent import Call, calls_for, json_for
from sim.behaviour import Behaviour, Fault, Text

FINGERPRINT = "simulated"
MARKER = "[simulated]"

# A fixed instant keeps equal requests' answers equal to the byte.
CREATED = 1_700_000_000

_WORDS = (
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "island",
    "jasper",
    "kernel",
    "meadow",
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Each item of `reasoning` and `content` is one token with the space before it; calls have their own."""

    id: str
    model: str
    reasoning: tuple[str, ...]
    content: tuple[str, ...]
    finish_reason: str
    prompt_tokens: int
    cached_tokens: int
    calls: tuple[Call, ...] = ()

    @property
    def completion_tokens(self) -> int:
        """Reasoning, content and calls."""
        return len(self.reasoning) + len(self.content) + sum(1 + len(call.arguments) for call in self.calls)

    def usage(self) -> Json:
        """The token counts in OpenAI's form."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": len(self.reasoning)},
        }

    def completion(self, *, with_usage: bool = True) -> Json:
        """The answer as one object."""
        text = "".join(self.content)
        message: Json = {"role": "assistant", "content": None if self.calls else text, "refusal": None}
        if self.calls:
            message["tool_calls"] = [call.document() for call in self.calls]
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return self._envelope("chat.completion", [choice]) | ({"usage": self.usage()} if with_usage else {})

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> Json:
        """One piece of a stream."""
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
        return self._envelope("chat.completion.chunk", [choice])

    def usage_chunk(self) -> Json:
        """The last piece of a stream that was asked to count."""
        return self._envelope("chat.completion.chunk", []) | {"usage": self.usage()}

    def deltas(self) -> list[Mapping[str, Any]]:
        """The tokens in the order of the stream."""
        return [
            *({"reasoning_content": token} for token in self.reasoning),
            *({"content": token} for token in self.content),
            *({"tool_calls": [piece]} for index, call in enumerate(self.calls) for piece in call.pieces(index)),
        ]

    def _envelope(self, kind: str, choices: list[Json]) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": CREATED,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        }


def compose_answer(
    seed: int,
    model: str,
    behaviour: Behaviour,
    messages: Sequence[Json],
    limit: int | None,
    *,
    empty: bool = False,
    request: Mapping[str, Any] | None = None,
) -> Answer:
    """Make up an answer of at most `limit` tokens; `empty` makes one without a token.

    `request` has the members that an agent goes by: tools, the choice among them, and the form of the answer. Calls and JSON are
    never cut: half of one is of no use to anybody.
    """
    texts = [text_of(message) for message in messages]
    random = Random(digest(seed, model, *texts))
    reasoning = _tokens(random.choices(_WORDS, k=behaviour.reasoning - 1)) if behaviour.reasoning else ()
    id = f"{digest(seed, model, *texts):016x}"
    calls: tuple[Call, ...] = ()
    form: str | None = None
    content: tuple[str, ...]
    if behaviour.text is Text.AGENT and not empty:
        calls = calls_for(request or {}, messages, id)
        form = None if calls else json_for(request or {})
    if calls or form is not None:
        content = () if form is None else (form,)
        limit = None
    elif behaviour.text is not Text.LOREM:
        content = _tokens(texts[-1].split() if texts else [])
    else:
        content = _tokens(random.choices(_WORDS, k=max(0, behaviour.tokens - 1)))
    if empty:
        reasoning, content = (), ()
    room = len(reasoning) + len(content) if limit is None else limit
    kept_reasoning = reasoning[:room]
    kept = content[: room - len(kept_reasoning)]
    cut = len(kept_reasoning) + len(kept) < len(reasoning) + len(content)
    prompt_tokens = sum(1 + len(text.split()) for text in texts)
    return Answer(
        id=f"chatcmpl-sim-{id}",
        model=model,
        reasoning=kept_reasoning,
        content=kept,
        finish_reason="tool_calls" if calls else "length" if cut else "stop",
        prompt_tokens=prompt_tokens,
        cached_tokens=min(behaviour.cached, prompt_tokens),
        calls=calls,
    )


def strikes(seed: int, model: str, behaviour: Behaviour, messages: Sequence[Json], number: int) -> Fault | None:
    """Decide whether the fault strikes request `number` (from 1) for this model name."""
    if behaviour.fault is None or (behaviour.times and number > behaviour.times):
        return None
    drawn = digest(seed, model, *(text_of(message) for message in messages), str(number)) / 2**64
    return behaviour.fault if drawn < behaviour.p else None


def text_of(message: Json) -> str:
    """The text of a message, whose content may be text or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""


def digest(seed: int, *parts: str) -> int:
    """Hash to 64 bits."""
    hashed = hashlib.blake2b(digest_size=8)
    for part in (str(seed), *parts):
        hashed.update(len(part).to_bytes(8, "big") + part.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashed.digest(), "big")


def _tokens(words: Iterable[str]) -> tuple[str, ...]:
    return (MARKER, *(f" {word}" for word in words))
