"""What a dialect of the public API (a skin) brings along. Everything else of an inference request is the same for all of them.

A skin reads a body into the one form that the router knows, a chat completions request, and writes the pieces that the router
sends in its own words. One `Inference` runs them all: admission, capacity, the generation, the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from dialects.chat import ChatRequest
from edge.api.http.errors import Problem
from edge.api.http.routes import Handler, Route
from turnpike.router.v1 import completion_pb2


@dataclass(frozen=True, slots=True)
class Heading:
    """What an answer says of itself before there is anything of it.

    Attributes:
        generation_id: `gen-<unix seconds>-<20 characters>`.
        created: Unix seconds.
        requested_model: stands in for the model until a route is known; empty when the request names none.
    """

    generation_id: str
    created: int
    requested_model: str


class AnswerWriter(Protocol):
    """Collects one answer that is not streamed."""

    def route(self, route: completion_pb2.Route) -> None:
        """The answer comes from here. Called once, before the first piece."""
        ...

    def add(self, delta: completion_pb2.ChoiceDelta) -> None:
        """Add a piece."""
        ...

    def render(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the complete answer as JSON."""
        ...

    def failed(self, problem: Problem) -> bytes:
        """Render the answer that ends with this problem. Called only with what `SkinRequest.absorbs`."""
        ...


class EventWriter(Protocol):
    """Renders one streamed answer as server-sent events.

    Every method returns whole events, ready to be sent; what they return is sent in the order of the calls.

    Attributes:
        keep_alive: sent when there has been nothing to say for a while, perhaps before everything else.
    """

    @property
    def keep_alive(self) -> bytes: ...

    def route(self, route: completion_pb2.Route) -> bytes:
        """The answer comes from here: render what a stream begins with. Called once, before the first pieces."""
        ...

    def deltas(self, deltas: Iterable[completion_pb2.ChoiceDelta]) -> bytes:
        """Render pieces of the answer."""
        ...

    def final(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the end of a complete answer, to the last byte of the stream."""
        ...

    def error(self, problem: Problem) -> bytes:
        """Render the end of a broken answer, to the last byte of the stream. There may have been no route."""
        ...


class SkinRequest(Protocol):
    """One request, read.

    Attributes:
        chat: the request as the router gets it.
        streamed: whether the answer is a stream.
    """

    @property
    def chat(self) -> ChatRequest: ...

    @property
    def streamed(self) -> bool: ...

    def with_chat(self, chat: ChatRequest) -> SkinRequest:
        """The same request, which asks the router for something else."""
        ...

    def answer(self, heading: Heading) -> AnswerWriter:
        """Start an answer that is not streamed."""
        ...

    def events(self, heading: Heading) -> EventWriter:
        """Start a streamed answer."""
        ...

    def absorbs(self, problem: Problem) -> bool:
        """Say whether this dialect reports a problem that came before the first piece as an answer, with status 200."""
        ...


class Skin(Protocol):
    """A dialect of the public API."""

    def route(self, handler: Handler) -> Route:
        """Say where the dialect is spoken, and in which form its errors are."""
        ...

    def decode(self, body: bytes, headers: Mapping[str, str]) -> SkinRequest:
        """Read and validate a request.

        Args:
            body: as it was sent.
            headers: of the request; names compare without regard to case.

        Raises:
            InvalidRequestError: it is not valid; names the member in the words of this dialect.
        """
        ...
