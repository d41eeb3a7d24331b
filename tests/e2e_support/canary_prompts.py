"""What callers say, in every dialect and operation, with a canary wherever a text can be."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from e2e_support.canaries import Canaries
from edge.testing.documents import pdf

REDACTED = "redact-me"
_MODEL = "canary/sees"
_PNG = b"\x89PNG\r\n\x1a\n"
_FAULTS = (
    "canary/echo-400",
    "canary/echo-401",
    "canary/echo-500",
    "canary/cut",
    "canary/first-then-error",
    "canary/malformed",
    "canary/html",
)


@dataclass(frozen=True)
class Prompt:
    """A request for inference. `body` is JSON, a form or what is no JSON at all; `status` None where any will do."""

    path: str
    body: Any
    status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)


def prompts(canaries: Canaries) -> Iterator[Prompt]:
    """Make everything that is asked."""
    for stream in (False, True):
        yield from _dialects(canaries, stream)
    yield from _operations(canaries)
    for model in _FAULTS:
        for stream in (False, True):
            yield Prompt("/chat/completions", _chat(canaries, model) | {"stream": stream}, None)
            yield Prompt("/messages", _messages(canaries, model) | {"stream": stream}, None)
            yield Prompt("/responses", _responses(canaries, model) | {"stream": stream}, None)
    yield Prompt("/embeddings", {"model": "canary/embeddings-400", "input": canaries.text("a refused embedding")}, None)
    yield Prompt("/images", {"model": "canary/images-500", "prompt": canaries.text("a failed picture")}, None)
    yield from _malformed(canaries)


def _dialects(canaries: Canaries, stream: bool) -> Iterator[Prompt]:
    more = {"stream": stream}
    yield Prompt("/chat/completions", _chat(canaries, _MODEL) | more)
    yield Prompt("/chat/completions", _tools(canaries) | more)
    yield Prompt("/chat/completions", _chat(canaries, "sim/thinker") | more)
    yield Prompt("/messages", _messages(canaries, _MODEL) | more)
    yield Prompt("/responses", _responses(canaries, _MODEL) | more)
    yield Prompt(
        "/completions", {"model": _MODEL, "prompt": canaries.text("a prompt of text"), "max_tokens": 50} | more
    )
    text = canaries.text("a cached prompt")
    for _ in range(2):
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": text}]} | more
        yield Prompt("/chat/completions", body, headers={"X-OpenRouter-Cache": "true"})


def _chat(canaries: Canaries, model: str) -> dict[str, Any]:
    text = canaries.text
    content: Any = f"{text('a question')} and {REDACTED}-{text('what a guardrail redacts')} {text('its end')}"
    if model == _MODEL:
        content = [
            {"type": "text", "text": content},
            {"type": "image_url", "image_url": {"url": _data("image/png", _PNG + text("a picture").encode())}},
            {"type": "file", "file": {"filename": f"{text('a file name')}.pdf", "file_data": pdf(text("a document"))}},
            {"type": "input_audio", "input_audio": {"data": _base64(_wav(text("a sound"))), "format": "wav"}},
        ]
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": text("an instruction")},
            {"role": "user", "content": text("an earlier question")},
            {"role": "assistant", "content": text("an earlier answer")},
            {"role": "user", "content": content},
        ],
        "stop": [text("a stop sequence")],
        "metadata": {"note": text("metadata of a request")},
        "user": text("name: a user of the caller"),
        "session_id": text("name: a session of the caller"),
        "max_tokens": 200,
    }


def _tools(canaries: Canaries) -> dict[str, Any]:
    text = canaries.text
    schema = {"type": "object", "properties": {"city": {"type": "string", "enum": [text("an argument of a tool")]}}}
    function = {"name": "look_up", "description": text("what a tool is for"), "parameters": schema}
    return {
        "model": "sim/agent",
        "messages": [
            {"role": "user", "content": text("a question for a tool")},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": json.dumps({"city": text("an earlier argument")})}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": text("what a tool found")},
            {"role": "user", "content": text("another question for a tool")},
        ],
        "tools": [{"type": "function", "function": function}],
    }  # fmt: skip


def _messages(canaries: Canaries, model: str) -> dict[str, Any]:
    text = canaries.text
    content: Any = text("a message")
    if model == _MODEL:
        picture = {
            "type": "base64",
            "media_type": "image/png",
            "data": _base64(_PNG + text("a picture in a message").encode()),
        }
        content = [{"type": "text", "text": content}, {"type": "image", "source": picture}]
    return {
        "model": model,
        "system": text("the system of messages"),
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 200,
    }


def _responses(canaries: Canaries, model: str) -> dict[str, Any]:
    text = canaries.text
    part = {"type": "input_text", "text": text("an input")}
    return {
        "model": model,
        "instructions": text("instructions"),
        "input": [{"type": "message", "role": "user", "content": [part]}],
        "max_output_tokens": 200,
    }


def _operations(canaries: Canaries) -> Iterator[Prompt]:
    text = canaries.text
    yield Prompt("/embeddings", {"model": "sim/embeddings", "input": [text("a text to embed"), text("another one")]})
    documents = [text("a document to rank"), text("another one")]
    yield Prompt("/rerank", {"model": "sim/rerank", "query": text("a query"), "documents": documents})
    yield Prompt("/audio/speech", {"model": "sim/speech", "input": text("a text to speak"), "voice": "x"})
    sound = {"data": _base64(_wav(text("speech"))), "format": "wav"}
    yield Prompt("/audio/transcriptions", {"model": "sim/transcription", "input_audio": sound})
    yield Prompt("/images", {"model": "sim/images", "prompt": text("a picture to make")})
    yield Prompt("/messages/count_tokens", _messages(canaries, "sim/echo"))


def _malformed(canaries: Canaries) -> Iterator[Prompt]:
    text = canaries.text
    cut = json.dumps({"model": "sim/echo", "messages": [{"role": "user", "content": text("a cut body")}]})[:-4]
    for path in ("/chat/completions", "/messages", "/responses", "/completions", "/embeddings", "/rerank", "/images"):
        yield Prompt(path, cut.encode(), 400)
        yield Prompt(path, json.dumps({"model": 5, text("an odd member"): text("an odd value")}).encode(), 400)
        yield Prompt(path, b"\xff" + text("no text").encode(), 400)
    wrong = {"model": "sim/echo", "messages": text("messages that are none"), "tools": text("tools that are none")}
    yield Prompt("/chat/completions", wrong, 400)
    odd = {"model": "sim/echo", "messages": [{"role": text("an odd role"), "content": text("its content")}]}
    yield Prompt("/chat/completions", odd, 400)


def _data(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{_base64(content)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _wav(text: str) -> bytes:
    """Sound whose samples are a text."""
    samples = text.encode() * 100
    samples = samples[: len(samples) // 2 * 2]
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16, b"data", len(samples))
    return struct.pack("<4sI4s", b"RIFF", 4 + len(head) + len(samples), b"WAVE") + head + samples
