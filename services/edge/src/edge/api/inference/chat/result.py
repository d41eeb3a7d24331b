"""A chat completion that is not streamed, put together from the pieces that the router sends."""

from __future__ import annotations

from typing import Any

import msgspec

from edge.api.http.errors import Problem
from edge.api.inference.metadata_json import metadata_json
from edge.api.inference.skin import Heading
from edge.api.inference.usage_json import usage_json
from turnpike.router.v1 import completion_pb2

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_OPTIONAL_TEXTS = ("content", "reasoning", "refusal")


class _ToolCall:
    """A tool call that grows."""

    __slots__ = ("arguments", "id", "name", "type")

    def __init__(self) -> None:
        self.id = ""
        self.type = "function"
        self.name = ""
        self.arguments: list[str] = []

    def add(self, piece: completion_pb2.ToolCallDelta) -> None:
        self.id = piece.id or self.id
        self.type = piece.type or self.type
        self.name = piece.name or self.name
        self.arguments.append(piece.arguments)

    def document(self, index: int) -> dict[str, Any]:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"index": index, "id": self.id, "type": self.type, "function": function}


class _Choice:
    """A choice that grows."""

    __slots__ = ("extra", "finish_reason", "logprobs", "native_finish_reason", "texts", "tool_calls")

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.tool_calls: dict[int, _ToolCall] = {}
        self.finish_reason: str | None = None
        self.native_finish_reason: str | None = None
        self.extra: dict[str, Any] = {}
        self.logprobs: msgspec.Raw | None = None

    def add(self, delta: completion_pb2.ChoiceDelta) -> None:
        if delta.HasField("content"):
            self.texts.setdefault("content", []).append(delta.content)
        if delta.HasField("reasoning"):
            self.texts.setdefault("reasoning", []).append(delta.reasoning)
        if delta.HasField("refusal"):
            self.texts.setdefault("refusal", []).append(delta.refusal)
        for piece in delta.tool_calls:
            call = self.tool_calls.get(piece.index)
            if call is None:
                call = self.tool_calls[piece.index] = _ToolCall()
            call.add(piece)
        if delta.HasField("finish_reason"):
            self.finish_reason = delta.finish_reason
        if delta.HasField("native_finish_reason"):
            self.native_finish_reason = delta.native_finish_reason
        if delta.extra_json:
            self._add_extra(_decode(delta.extra_json))
        if delta.logprobs_json:
            self.logprobs = msgspec.Raw(delta.logprobs_json)

    def document(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        for name in _OPTIONAL_TEXTS:
            pieces = self.texts.get(name)
            message[name] = None if pieces is None else "".join(pieces)
        if self.tool_calls:
            calls = sorted(self.tool_calls.items())
            message["tool_calls"] = [call.document(number) for number, call in calls]
        message.update(self.extra)
        return {
            "index": index,
            "logprobs": self.logprobs,
            "finish_reason": self.finish_reason,
            "native_finish_reason": self.native_finish_reason,
            "message": message,
        }

    def _add_extra(self, members: Any) -> None:
        """Lists (reasoning details, images, annotations) grow; of anything else the last one counts."""
        if not isinstance(members, dict):
            return
        for name, value in members.items():
            known = self.extra.get(name)
            if isinstance(known, list) and isinstance(value, list):
                known.extend(value)
            else:
                self.extra[name] = value


class ChatResult:
    """Collects the pieces of one answer."""

    def __init__(self, heading: Heading) -> None:
        """Start an answer."""
        self._id = heading.generation_id
        self._created = heading.created
        self._model = heading.requested_model
        self._provider: str | None = None
        self._metadata: bytes | None = None
        self._choices: dict[int, _Choice] = {}

    def route(self, route: completion_pb2.Route) -> None:
        """The answer comes from here."""
        self._model = route.model
        self._provider = route.provider_name
        self._metadata = metadata_json(route)

    def add(self, delta: completion_pb2.ChoiceDelta) -> None:
        """Add a piece."""
        choice = self._choices.get(delta.index)
        if choice is None:
            choice = self._choices[delta.index] = _Choice()
        choice.add(delta)

    def render(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the complete answer as JSON."""
        metadata = {} if self._metadata is None else {"openrouter_metadata": msgspec.Raw(self._metadata)}
        return _encode(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": self._created,
                "model": self._model,
                "provider": self._provider,
                "system_fingerprint": outcome.system_fingerprint or None,
                "service_tier": outcome.service_tier or None,
                "choices": [choice.document(index) for index, choice in sorted(self._choices.items())],
                "usage": msgspec.Raw(usage_json(outcome)),
                **metadata,
            }
        )

    def failed(self, problem: Problem) -> bytes:
        """Nothing ends that way here.

        Raises:
            AssertionError: always.
        """
        raise AssertionError("a chat completion absorbs no problem")
