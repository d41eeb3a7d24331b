"""How the providers of one dialect behave on the wire, as far as tests play them."""

from __future__ import annotations

import json
from typing import Any, Protocol

from router.testing.scripted_provider import Received
from router.testing.wires.said import Parts, Said


class Wire(Protocol):
    """One dialect, from a provider's side."""

    dialect: str
    stream_type: str
    """The media type of a streamed answer."""
    base_path: str
    """Where base URLs end."""
    key_header: str
    """The header that a credential comes in, in lower case; `key_prefix` stands before it."""
    key_prefix: str

    def path(self, model: str, *, stream: bool) -> str:
        """The path that a request for a model must have, percent-encoded, `base_path` included."""
        ...

    def asks_for_stream(self, received: Received) -> bool:
        """Whether a request asks for a stream."""
        ...

    def whole(self, said: Said) -> Any:
        """An answer that is not streamed."""
        ...

    def parts(self, said: Said) -> Parts:
        """A streamed answer."""
        ...

    def refusal(self, status: int, message: str = "no") -> Any:
        """The body that goes with an error status."""
        ...

    def failure(self) -> bytes:
        """An event that says that the server has failed in the middle of a stream."""
        ...

    def garbage(self) -> bytes:
        """An event whose framing is right and whose content is not."""
        ...

    def late_failure(self) -> Any:
        """A whole answer with status 200 that is an error."""
        ...


def encode(document: Any) -> bytes:
    """Write JSON as it is sent."""
    return json.dumps(document).encode()


def sse(document: Any, event: str = "") -> bytes:
    """Write a server-sent event."""
    data = document if isinstance(document, bytes) else encode(document)
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + data + b"\n\n"
