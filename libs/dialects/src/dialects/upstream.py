"""What a provider's dialect does for a router: a request in its words, and its answers in ours.

A dialect is pure and keeps no state between calls; only a stream reader remembers what it has read. Addresses' hosts,
credentials and connections are the router's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from dialects.answers import Answer, UpstreamError
from dialects.chat import ChatRequest


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint that a request is written for, as far as a dialect cares.

    Attributes:
        model: the provider's own name of the model.
        supported: parameters of the public API that the endpoint honours; others are dropped.
        stream: whether to ask for a stream.
        max_completion_tokens: most tokens that the endpoint writes in one answer, 0 when that is not known. For dialects
            that require a limit.
        quirks: where the endpoint departs from its dialect; the words of the catalogue.
        service_tier: tier that the endpoint's price is for, to be asked for; empty for the ordinary one.
        priced: kinds of usage that the endpoint's price is for (`prompt`, `completion`, `second`), as far as only the provider
            can count them: an answer to an operation that does not say them cannot be charged, and is no good.
    """

    model: str
    supported: AbstractSet[str]
    stream: bool
    max_completion_tokens: int = 0
    quirks: AbstractSet[str] = frozenset()
    service_tier: str = ""
    priced: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request to a provider.

    Attributes:
        path: appended to the provider's base URL, with a leading slash; may have a query. Every part that came from a name is
            percent-encoded.
        body: JSON, or what the headers say.
        headers: those that belong to the dialect, such as its version; never a credential.
        read: reads a whole answer from its body and its media type, for operations beside completions; None for completions,
            which the dialect reads. Raises UpstreamAnswerError for what is no answer to this very request.
    """

    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[bytes, str], Answer] | None = field(default=None, repr=False)


class StreamReader(Protocol):
    """Reads one streamed answer from bytes, in pieces of any size."""

    @property
    def done(self) -> bool:
        """Whether the dialect's own mark of the end was read; what follows is of no interest. Some dialects have none."""
        ...

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Take the next bytes and yield the answers that they complete. Must be exhausted before the next call.

        Answers that were yielded before an error are good.

        Raises:
            SseError: the framing is broken, or a part is too long.
            UpstreamAnswerError: an event is not in the dialect.
        """
        ...


class UpstreamDialect(Protocol):
    """How to speak to a provider."""

    def request(self, request: ChatRequest, target: Target) -> UpstreamRequest:
        """Write a request.

        Raises:
            UnsupportedRequestError: the dialect has no way to say something that must not be dropped (an attachment, a role).
        """
        ...

    def read_answer(self, body: bytes) -> Answer:
        """Read a whole answer with status 200. `error` is set when it reports one.

        Raises:
            UpstreamAnswerError: not in the dialect.
        """
        ...

    def read_stream(self) -> StreamReader:
        """Make a reader for one streamed answer."""
        ...

    def read_error(self, body: bytes, status: int) -> UpstreamError:
        """Read the body of an answer whose status is an error, 400 to 599. Never raises."""
        ...
