"""Answers of the legacy completions, whole and as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dialects.answers import ChoiceDelta
from dialects.text_completions import text_logprobs
from edge.api.http.errors import Problem
from edge.api.http.json_text import one_line
from edge.api.inference.chat.chunks import DONE, KEEP_ALIVE
from edge.api.inference.metadata_json import metadata_json
from edge.api.inference.pieces import choice_delta_from_proto
from edge.api.inference.skin import Heading
from edge.api.inference.usage_json import usage_json
from turnpike.router.v1 import completion_pb2

_encode = msgspec.json.Encoder().encode


class _Head:
    """What every part of an answer says."""

    __slots__ = ("_members", "_metadata")

    def __init__(self, heading: Heading) -> None:
        self._members: dict[str, Any] = {
            "id": heading.generation_id,
            "object": "text_completion",
            "created": heading.created,
            "model": heading.requested_model,
            "provider": None,
            "system_fingerprint": None,
            "service_tier": None,
        }
        self._metadata: bytes | None = None

    def route(self, route: completion_pb2.Route) -> None:
        self._members |= {"model": route.model, "provider": route.provider_name}
        self._metadata = metadata_json(route)

    def document(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return _encode({**self._members, "choices": choices, **more})

    def ended(self, choices: list[dict[str, Any]], outcome: completion_pb2.Outcome) -> bytes:
        self._members |= {
            "system_fingerprint": outcome.system_fingerprint or None,
            "service_tier": outcome.service_tier or None,
        }
        more = {} if self._metadata is None else {"openrouter_metadata": msgspec.Raw(self._metadata)}
        return self.document(choices, usage=msgspec.Raw(usage_json(outcome)), **more)


class _Choice:
    """How far one choice is."""

    __slots__ = ("_echo", "_offset", "finish_reason", "native_finish_reason")

    def __init__(self, echo: str) -> None:
        self._echo = echo
        self._offset = len(echo)
        self.finish_reason: str | None = None
        self.native_finish_reason: str | None = None

    def take(self, delta: ChoiceDelta) -> dict[str, Any]:
        """Write a piece. The first one begins with what the caller wants to have back."""
        text, self._echo = self._echo + (delta.content or ""), ""
        logprobs, self._offset = text_logprobs(delta.logprobs, self._offset)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.native_finish_reason = delta.native_finish_reason or self.native_finish_reason
        return {
            "index": delta.index,
            "text": text,
            "reasoning": delta.reasoning,
            "logprobs": logprobs,
            "finish_reason": delta.finish_reason,
            "native_finish_reason": delta.native_finish_reason,
        }


class TextResult:
    """Collects an answer that is not streamed."""

    def __init__(self, heading: Heading, echo: str) -> None:
        """Start an answer that begins with `echo`."""
        self._head = _Head(heading)
        self._echo = echo
        self._choices: dict[int, _Choice] = {}
        self._pieces: dict[int, list[dict[str, Any]]] = {}

    def route(self, route: completion_pb2.Route) -> None:
        """The answer comes from here."""
        self._head.route(route)

    def add(self, delta: completion_pb2.ChoiceDelta) -> None:
        """Add a piece."""
        choice = self._choices.setdefault(delta.index, _Choice(self._echo))
        self._pieces.setdefault(delta.index, []).append(choice.take(choice_delta_from_proto(delta)))

    def render(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the complete answer as JSON."""
        return self._head.ended([self._choice(index) for index in sorted(self._choices)], outcome)

    def failed(self, problem: Problem) -> bytes:
        """Nothing ends that way here.

        Raises:
            AssertionError: always.
        """
        raise AssertionError("a text completion absorbs no problem")

    def _choice(self, index: int) -> dict[str, Any]:
        pieces, choice = self._pieces[index], self._choices[index]
        thoughts = [piece["reasoning"] for piece in pieces if piece["reasoning"] is not None]
        return {
            "index": index,
            "text": "".join(piece["text"] for piece in pieces),
            "reasoning": "".join(thoughts) if thoughts else None,
            "logprobs": _joined([piece["logprobs"] for piece in pieces if piece["logprobs"] is not None]),
            "finish_reason": choice.finish_reason,
            "native_finish_reason": choice.native_finish_reason,
        }


class TextEvents:
    """A streamed answer."""

    keep_alive = KEEP_ALIVE

    def __init__(self, heading: Heading, echo: str) -> None:
        """Start an answer that begins with `echo`."""
        self._head = _Head(heading)
        self._echo = echo
        self._choices: dict[int, _Choice] = {}

    def route(self, route: completion_pb2.Route) -> bytes:
        """The answer comes from here. What was sent to providers comes first."""
        self._head.route(route)
        return b"".join(
            _event(self._head.document([], debug={"echo_upstream_body": msgspec.Raw(body)}))
            for body in route.upstream_bodies
        )

    def deltas(self, deltas: Iterable[completion_pb2.ChoiceDelta]) -> bytes:
        """Render pieces of the answer, one event each."""
        parts = []
        for delta in deltas:
            choice = self._choices.setdefault(delta.index, _Choice(self._echo))
            parts.append(_event(self._head.document([choice.take(choice_delta_from_proto(delta))])))
        return b"".join(parts)

    def final(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the end of a complete answer: usage beside a choice that repeats its finish reason, and the end mark."""
        first = self._choices.get(0) or _Choice("")
        last = first.take(ChoiceDelta(0))
        last |= {"finish_reason": first.finish_reason, "native_finish_reason": first.native_finish_reason}
        return _event(self._head.ended([last], outcome)) + DONE

    def error(self, problem: Problem) -> bytes:
        """Render the one event that ends a broken answer."""
        last = _Choice("").take(ChoiceDelta(0)) | {"finish_reason": "error"}
        return _event(self._head.document([last], error=msgspec.Raw(problem.error_json())))


def _event(document: bytes) -> bytes:
    return b"data: %s\n\n" % one_line(document)


def _joined(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not found:
        return None
    return {name: [value for each in found for value in each[name]] for name in found[0]}
