"""Chunks of a streamed chat completion, as server-sent events.

What is the same in every chunk of an answer is encoded once; a chunk is a handful of byte strings in a row.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edge.api.http.errors import Problem
from edge.api.http.json_text import json_string, json_value, members_of, one_line
from edge.api.inference.metadata_json import metadata_json
from edge.api.inference.skin import Heading
from edge.api.inference.usage_json import usage_json
from turnpike.router.v1 import completion_pb2

KEEP_ALIVE = b": TURNPIKE PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"

# OpenRouter repeats the role in every delta. OpenAI's own helpers concatenate it then, so only the first delta of a choice has it.
_FIRST = '%d,"delta":{"role":"assistant","content":'
_NEXT = tuple(f'{index},"delta":{{"content":'.encode() for index in range(8))
_UNFINISHED = b'},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}\n\n'
_EMPTY_DELTA = b'{"content":""}'


class _Function(msgspec.Struct, omit_defaults=True):
    name: str = ""
    arguments: str | None = None


class _ToolCall(msgspec.Struct, omit_defaults=True):
    index: int | None = None
    id: str = ""
    type: str = ""
    function: _Function | None = None


class ChunkWriter:
    """Renders the chunks of one answer."""

    keep_alive = KEEP_ALIVE

    __slots__ = ("_begun", "_finish_reason", "_head", "_identity", "_metadata", "_native_finish_reason")

    def __init__(self, heading: Heading) -> None:
        """Start an answer."""
        self._identity = (
            f'data: {{"id":"{heading.generation_id}","object":"chat.completion.chunk","created":{heading.created},"model":'
        ).encode()
        self._head = self._identity + json_string(heading.requested_model) + b","
        self._begun: set[int] = set()
        self._finish_reason = b"null"
        self._native_finish_reason = b"null"
        self._metadata: bytes | None = None

    def route(self, route: completion_pb2.Route) -> bytes:
        """From here on the chunks name the model that answers and its provider. What was sent to providers comes first."""
        model, provider = json_string(route.model), json_string(route.provider_name)
        self._head = b'%s%s,"provider":%s,' % (self._identity, model, provider)
        self._metadata = metadata_json(route)
        return b"".join(
            b'%s"choices":[],"debug":{"echo_upstream_body":%s}}\n\n' % (self._head, one_line(body))
            for body in route.upstream_bodies
        )

    def deltas(self, deltas: Iterable[completion_pb2.ChoiceDelta]) -> bytes:
        """Render pieces of the answer, one event each."""
        parts: list[bytes] = []
        for delta in deltas:
            self._append(parts, delta)
        return b"".join(parts)

    def final(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the end of a complete answer: the usage chunk and the end mark.

        Of the two forms on the wire this is the newer one: a choice with an empty delta that repeats the finish reason.
        """
        parts = [self._head]
        if outcome.system_fingerprint:
            parts += (b'"system_fingerprint":', json_string(outcome.system_fingerprint), b",")
        tier = json_string(outcome.service_tier) if outcome.service_tier else b"null"
        parts += (
            b'"service_tier":', tier,
            b',"choices":[{"index":0,"delta":', _EMPTY_DELTA,
            b',"finish_reason":', self._finish_reason,
            b',"native_finish_reason":', self._native_finish_reason,
            b',"logprobs":null}],"usage":', usage_json(outcome),
        )  # fmt: skip
        if self._metadata is not None:
            parts += (b',"openrouter_metadata":', self._metadata)
        parts += (b"}\n\n", DONE)
        return b"".join(parts)

    def error(self, problem: Problem) -> bytes:
        """Render the one event that ends a broken answer."""
        return b"".join(
            (
                self._head, b'"error":', one_line(problem.error_json()),
                b',"choices":[{"index":0,"delta":', _EMPTY_DELTA,
                b',"finish_reason":"error","native_finish_reason":null,"logprobs":null}]}\n\n',
            )
        )  # fmt: skip

    def _append(self, parts: list[bytes], delta: completion_pb2.ChoiceDelta) -> None:
        index = delta.index
        parts.append(self._head)
        parts.append(b'"choices":[{"index":')
        parts.append(_NEXT[index] if index in self._begun and 0 <= index < len(_NEXT) else self._index(index))
        if delta.HasField("content"):
            parts.append(json_string(delta.content))
        else:
            parts.append(b"null" if delta.tool_calls else b'""')
        if delta.HasField("reasoning"):
            parts += (b',"reasoning":', json_string(delta.reasoning))
        if delta.HasField("refusal"):
            parts += (b',"refusal":', json_string(delta.refusal))
        if delta.tool_calls:
            parts += (b',"tool_calls":', json_value([_tool_call(call) for call in delta.tool_calls]))
        if delta.extra_json:
            extra = members_of(delta.extra_json)
            if extra:
                parts += (b",", extra)
        if (
            not delta.HasField("finish_reason")
            and not delta.logprobs_json
            and not delta.HasField("native_finish_reason")
        ):
            parts.append(_UNFINISHED)
            return
        self._append_end(parts, delta)

    def _index(self, index: int) -> bytes:
        if index in self._begun:
            return f'{index},"delta":{{"content":'.encode()
        self._begun.add(index)
        return (_FIRST % index).encode()

    def _append_end(self, parts: list[bytes], delta: completion_pb2.ChoiceDelta) -> None:
        finish = json_string(delta.finish_reason) if delta.HasField("finish_reason") else b"null"
        native = json_string(delta.native_finish_reason) if delta.HasField("native_finish_reason") else b"null"
        if delta.index == 0 and delta.HasField("finish_reason"):
            self._finish_reason, self._native_finish_reason = finish, native
        logprobs = one_line(delta.logprobs_json) if delta.logprobs_json else b"null"
        parts += (
            b'},"finish_reason":', finish, b',"native_finish_reason":', native, b',"logprobs":', logprobs, b"}]}\n\n",
        )  # fmt: skip


def _tool_call(call: completion_pb2.ToolCallDelta) -> _ToolCall:
    """The first piece of a call names it; every piece adds to its arguments."""
    function = _Function(name=call.name, arguments=call.arguments)
    return _ToolCall(index=call.index, id=call.id, type=call.type, function=function)
