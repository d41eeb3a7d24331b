"""Answers of the Responses API, whole and as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from contracts import money
from dialects.answers import FinishReason
from dialects.responses import (
    LENGTH_ERRORS,
    Ending,
    Event,
    ResponseObject,
    ResponseOutput,
    ResponsesRequest,
    error_code,
)
from edge.api.http.errors import INTERNAL_MESSAGE, Problem
from edge.api.http.json_text import one_line
from edge.api.inference.chat.chunks import DONE, KEEP_ALIVE
from edge.api.inference.metadata_json import metadata_json
from edge.api.inference.pieces import choice_delta_from_proto
from edge.api.inference.skin import Heading
from edge.api.inference.usage_json import byok_text, upstream_text
from servicekit.clock import Clock
from turnpike.router.v1 import completion_pb2

_encode = msgspec.json.Encoder().encode
_ENCRYPTED: Final = "reasoning.encrypted_content"
_INCOMPLETE: Final = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}
_SERVER_ERROR: Final = Problem(502, "provider_unavailable", "The provider ended the answer with an error.")


class ResponseWriter:
    """One response in the making: what both forms of the answer have in common."""

    def __init__(self, request: ResponsesRequest, heading: Heading, clock: Clock) -> None:
        """Start a response."""
        self.output = ResponseOutput(
            heading.generation_id,
            request.tools,
            encrypted=request.includes(_ENCRYPTED),
            logprobs=request.wants_logprobs,
        )
        self.object = ResponseObject(request, heading.generation_id, heading.created, heading.requested_model)
        self._clock = clock
        self._metadata: bytes | None = None

    def route(self, route: completion_pb2.Route) -> None:
        """The answer comes from here."""
        self.object.model = route.model
        self._metadata = metadata_json(route)

    def item_status(self) -> str:
        """Status of the item that the answer ends in."""
        return "incomplete" if self.output.finish_reason in _INCOMPLETE else "completed"

    def ended(self, outcome: completion_pb2.Outcome) -> dict[str, Any]:
        """The response at an orderly end."""
        reason = self.output.finish_reason
        usage = msgspec.Raw(_usage_json(outcome))
        if reason is FinishReason.ERROR:
            return self._document(_failed(_SERVER_ERROR, usage), "incomplete")
        incomplete = None if reason is None else _INCOMPLETE.get(reason)
        ending = Ending(
            "completed" if incomplete is None else "incomplete",
            completed_at=int(self._clock.now().timestamp()) if incomplete is None else None,
            incomplete_reason=incomplete,
            service_tier=outcome.service_tier,
            usage=usage,
        )
        return self._document(ending, self.item_status())

    def broken(self, problem: Problem) -> dict[str, Any]:
        """The response at the end that a problem makes."""
        if problem.error_type in LENGTH_ERRORS:
            ending = Ending("incomplete", incomplete_reason="max_output_tokens", error_type=problem.error_type)
        else:
            ending = _failed(problem, None)
        return self._document(ending, "incomplete")

    def _document(self, ending: Ending, item_status: str) -> dict[str, Any]:
        document = self.object.ended(ending, self.output.items(item_status), self.output.text)
        if self._metadata is not None:
            document["openrouter_metadata"] = msgspec.Raw(self._metadata)
        return document


class ResponseAnswer:
    """A response that is not streamed."""

    def __init__(self, writer: ResponseWriter) -> None:
        self._writer = writer

    def route(self, route: completion_pb2.Route) -> None:
        """The answer comes from here."""
        self._writer.route(route)

    def add(self, delta: completion_pb2.ChoiceDelta) -> None:
        """Add a piece."""
        self._writer.output.add(choice_delta_from_proto(delta))

    def render(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the response as JSON."""
        self._writer.output.finish(self._writer.item_status())
        return _encode(self._writer.ended(outcome))

    def failed(self, problem: Problem) -> bytes:
        """Render the response that was to become too long."""
        self._writer.output.finish("incomplete")
        return _encode(self._writer.broken(problem))


class ResponseEvents:
    """A streamed response."""

    keep_alive = KEEP_ALIVE

    def __init__(self, writer: ResponseWriter) -> None:
        self._writer = writer
        self._number = 0

    def route(self, route: completion_pb2.Route) -> bytes:
        """Render the beginning."""
        self._writer.route(route)
        echoes = [
            self._event({"type": "response.debug", "debug": {"echo_upstream_body": msgspec.Raw(body)}})
            for body in route.upstream_bodies
        ]
        return self._begin() + b"".join(echoes)

    def deltas(self, deltas: Iterable[completion_pb2.ChoiceDelta]) -> bytes:
        """Render pieces of the answer."""
        output = self._writer.output
        return b"".join(self._event(event) for delta in deltas for event in output.add(choice_delta_from_proto(delta)))

    def final(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the end of a complete response."""
        writer = self._writer
        items = [self._event(event) for event in writer.output.finish(writer.item_status())]
        return b"".join((*items, self._end(writer.ended(outcome)), DONE))

    def error(self, problem: Problem) -> bytes:
        """Render the end of a broken response.

        One that became too long is incomplete, and its stream is whole. Of any other there is `response.failed`, or
        `error` before there was a response; no end mark follows, because the stream is not complete.
        """
        writer = self._writer
        too_long = problem.error_type in LENGTH_ERRORS
        if self._number == 0 and not too_long:
            event = {
                "type": "error",
                "code": error_code(problem.error_type),
                "message": problem.message,
                "param": problem.metadata.get("param"),
                "error_type": problem.error_type,
            }
            return self._event(event)
        parts = [self._begin()] if self._number == 0 else []
        parts += [self._event(event) for event in writer.output.finish("incomplete")]
        parts.append(self._end(writer.broken(problem)))
        return b"".join((*parts, DONE) if too_long else parts)

    def _begin(self) -> bytes:
        response = self._writer.object.in_progress()
        return b"".join(
            self._event({"type": kind, "response": response}) for kind in ("response.created", "response.in_progress")
        )

    def _end(self, response: dict[str, Any]) -> bytes:
        return self._event({"type": f"response.{response['status']}", "response": response})

    def _event(self, event: Event) -> bytes:
        event["sequence_number"] = self._number
        self._number += 1
        return b"data: %s\n\n" % one_line(_encode(event))


def _failed(problem: Problem, usage: msgspec.Raw | None) -> Ending:
    message = INTERNAL_MESSAGE if problem.status == 500 else problem.message
    error = {"code": error_code(problem.error_type), "message": message}
    return Ending("failed", error=error, error_type=problem.error_type, usage=usage)


def _usage_json(outcome: completion_pb2.Outcome) -> bytes:
    """Render what a generation used and cost, in the words of the Responses API; amounts are exact decimal numbers."""
    usage = outcome.usage
    return (
        f'{{"input_tokens":{usage.prompt_tokens},"input_tokens_details":{{"cached_tokens":{usage.cached_tokens},'
        f'"cache_write_tokens":{usage.cache_write_tokens}}},"output_tokens":{usage.completion_tokens},'
        f'"output_tokens_details":{{"reasoning_tokens":{usage.reasoning_tokens}}},'
        f'"total_tokens":{usage.prompt_tokens + usage.completion_tokens},'
        f'"cost":{money.usd_text(outcome.cost_nano_usd)},"is_byok":{byok_text(outcome)},"cost_details":{{'
        f'"upstream_inference_cost":{upstream_text(outcome)},'
        f'"upstream_inference_input_cost":{money.usd_text(outcome.prompt_cost_nano_usd)},'
        f'"upstream_inference_output_cost":{money.usd_text(outcome.completion_cost_nano_usd)}}}}}'
    ).encode()
