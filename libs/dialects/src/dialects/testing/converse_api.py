"""An answer of Amazon Bedrock's Converse API with one block of every kind, whole and as a stream."""

from __future__ import annotations

import base64
import json
from typing import Any

from dialects.testing.event_stream import write_event

PICTURE = b"\x89PNG\r\n\x1a\n picture"
CITATION = {
    "title": "Rome",
    "source": "web",
    "sourceContent": [{"text": "Rome is "}, {"text": "sunny"}],
    "location": {"web": {"url": "https://example.com/rome", "domain": "example.com"}},
}
CONTENT: list[dict[str, Any]] = [
    {"reasoningContent": {"reasoningText": {"text": "The user asks.", "signature": "c2lnbmF0dXJl"}}},
    {"reasoningContent": {"redactedContent": "b3BhcXVl"}},
    {"text": "Let me "},
    {"toolUse": {"toolUseId": "srv_1", "name": "web", "input": {}, "type": "server_tool_use"}},
    {"toolResult": {"toolUseId": "srv_1", "content": []}},
    {"citationsContent": {"content": [{"text": "look."}], "citations": [CITATION]}},
    {"image": {"format": "png", "source": {"bytes": base64.b64encode(PICTURE).decode()}}},
    {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Rome", "days": 3}}},
    {"toolUse": {"toolUseId": "tooluse_2", "name": "now", "input": {}}},
]
USAGE = {
    "inputTokens": 10,
    "outputTokens": 50,
    "totalTokens": 1_160,
    "cacheReadInputTokens": 1_000,
    "cacheWriteInputTokens": 100,
}
RESPONSE: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": CONTENT}},
    "stopReason": "tool_use",
    "usage": USAGE,
    "metrics": {"latencyMs": 500},
    "serviceTier": {"type": "default"},
}
ANNOTATION = {
    "type": "url_citation",
    "url_citation": {
        "url": "https://example.com/rome",
        "title": "Rome",
        "content": "Rome is sunny",
        "start_index": 7,
        "end_index": 12,
    },
}
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"}}


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def stream_of(*events: tuple[str, Any]) -> bytes:
    # Bedrock pads its payloads, so that their length tells nothing.
    return b"".join(
        write_event(name, encode({**document, "p": "abcdef"} if isinstance(document, dict) else document))
        for name, document in events
    )


def block(index: int, start: dict[str, Any] | None, *deltas: dict[str, Any]) -> list[tuple[str, Any]]:
    place = {"contentBlockIndex": index}
    return [
        *([("contentBlockStart", {**place, "start": start})] if start is not None else []),
        *(("contentBlockDelta", {**place, "delta": delta}) for delta in deltas),
        ("contentBlockStop", place),
    ]


EVENTS: list[tuple[str, Any]] = [
    ("messageStart", {"role": "assistant"}),
    *block(
        0,
        None,
        {"reasoningContent": {"text": "The user "}},
        {"reasoningContent": {"text": "asks."}},
        {"reasoningContent": {"signature": "c2lnbmF0dXJl"}},
    ),
    *block(1, None, {"reasoningContent": {"redactedContent": "b3BhcXVl"}}),
    *block(2, None, {"text": "Let "}, {"text": ""}, {"text": "me "}),
    *block(3, {"toolUse": {"toolUseId": "srv_1", "name": "web", "type": "server_tool_use"}}, {"toolUse": {"input": "{}"}}),
    *block(4, {"toolResult": {"toolUseId": "srv_1"}}, {"toolResult": [{"text": "found"}]}),
    *block(5, None, {"citation": CITATION}, {"text": "look."}),
    *block(
        6,
        {"image": {"format": "png"}},
        {"image": {"source": {"bytes": base64.b64encode(PICTURE[:4]).decode()}}},
        {"image": {"source": {"bytes": base64.b64encode(PICTURE[4:]).decode()}}},
    ),
    *block(
        7,
        {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather"}},
        {"toolUse": {"input": '{"city":'}},
        {"toolUse": {"input": '"Rome","days":3}'}},
    ),
    *block(8, {"toolUse": {"toolUseId": "tooluse_2", "name": "now"}}, {"toolUse": {"input": ""}}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": USAGE, "metrics": {"latencyMs": 500}, "serviceTier": {"type": "default"}}),
]  # fmt: skip
STREAM = stream_of(*EVENTS)
