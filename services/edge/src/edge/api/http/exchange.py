"""One request and what becomes known about it on the way to its answer."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from edge.api.http.errors import ErrorBody, openrouter_error
from edge.domain.actor import Actor, actor_of
from edge.domain.principal import Address, Principal
from edge.domain.rate_limits import LimitSet, Reservation


class Exchange:
    """A request with everything that its log line, span and metrics say about it.

    Attributes:
        request: as aiohttp parsed it.
        request_id: ours; a caller's is not taken over.
        params: what the path's variable parts are.
        address: of the caller; None when it is not known.
        country: of that address, two capital letters; empty when it is not known.
        generation_id: set once there is a generation.
        model: that answers.
        provider: display name of the provider that answers.
        error_type: set when the answer is an error, or ends with one.
        dependency: name of the service that did not answer, where that is the error.
        error_body: how an error looks at this route.
        more_headers: of the answer, whatever it becomes; set before it is made.
        limits: rate limits of the address, for what is generated.
        place: of the request among those of its address; None where there is no limit.
        cross_origin: headers for the browser of a page of another origin; None where it gets none.
    """

    __slots__ = (
        "_principal",
        "address",
        "country",
        "cross_origin",
        "dependency",
        "error_body",
        "error_type",
        "generation_id",
        "limits",
        "model",
        "more_headers",
        "params",
        "place",
        "provider",
        "request",
        "request_id",
        "streamed",
    )

    def __init__(self, request: web.BaseRequest, request_id: str) -> None:
        self.request = request
        self.request_id = request_id
        self.params: Mapping[str, str] = {}
        self.address: Address | None = None
        self.country = ""
        self.limits: tuple[LimitSet, ...] = ()
        self.place: Reservation | None = None
        self.generation_id: str | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self.error_type: str | None = None
        self.dependency: str | None = None
        self.error_body: ErrorBody = openrouter_error
        self.more_headers: Mapping[str, str] | None = None
        self.cross_origin: Mapping[str, str] | None = None
        self.streamed = False
        self._principal: Principal | None = None

    @property
    def principal(self) -> Principal:
        """Who calls.

        Raises:
            LookupError: on a route that anybody may call.
        """
        if self._principal is None:
            raise LookupError("the route is public")
        return self._principal

    @principal.setter
    def principal(self, principal: Principal) -> None:
        self._principal = principal

    @property
    def caller(self) -> Principal | None:
        """Who calls, None while or where that is not established."""
        return self._principal

    @property
    def actor(self) -> Actor:
        """In whose name a request asks."""
        return actor_of(self._principal, "" if self.address is None else str(self.address), self.request_id)

    def leave(self) -> None:
        """Give the place back, before the caller has the end of the answer and may send the next request. May be repeated."""
        if self.place is not None:
            self.place.close()

    def headers(self) -> dict[str, str]:
        """Headers that every answer has; an answer adds its own."""
        headers = {"Server": "turnpike", "X-Request-Id": self.request_id}
        if self.generation_id is not None:
            headers["X-Generation-Id"] = self.generation_id
        if self.provider is not None and self.provider.isascii() and self.provider.isprintable():
            headers["X-Provider-Name"] = self.provider
        if self.more_headers is not None:
            headers.update(self.more_headers)
        if self.cross_origin is not None:
            headers.update(self.cross_origin)
        return headers

    @property
    def origin(self) -> str:
        """Scheme, host and port that the caller used; empty when its Host is none."""
        try:
            return str(self.request.url.origin())
        except ValueError:
            return ""

    def document(self, body: bytes, content_type: str) -> web.Response:
        """Make an answer of a document in UTF-8."""
        headers = self.headers()
        headers["Content-Type"] = f"{content_type}; charset=utf-8"
        return web.Response(body=body, headers=headers)

    def json(self, body: bytes, status: int = 200) -> web.Response:
        """Make an answer of a JSON document."""
        headers = self.headers()
        headers["Content-Type"] = "application/json"
        return web.Response(status=status, body=body, headers=headers)
