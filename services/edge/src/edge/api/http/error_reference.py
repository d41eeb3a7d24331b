"""`GET /docs/errors`: what each type of error and each availability code means, for people who follow a `docs_url`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from aiohttp import web

from contracts.error_types import AVAILABILITY, STATUSES, AvailabilityCode, ErrorType
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import ROOT, Access, Route

TYPES: Final[Mapping[ErrorType, str]] = {
    ErrorType.CONTEXT_LENGTH_EXCEEDED: "Prompt and answer together are longer than the model's context.",
    ErrorType.MAX_TOKENS_EXCEEDED: "More output is asked for than any endpoint of the model gives.",
    ErrorType.TOKEN_LIMIT_EXCEEDED: "The request has more tokens than the provider takes in one request.",
    ErrorType.STRING_TOO_LONG: "A text in the request is longer than the member allows.",
    ErrorType.INVALID_REQUEST: "The request is wrong; `param` names the member.",
    ErrorType.INVALID_PROMPT: "The provider does not take the prompt as it is.",
    ErrorType.CONTENT_POLICY_VIOLATION: "The request is against the provider's content policy.",
    ErrorType.REFUSAL: "The model declines to answer.",
    ErrorType.INVALID_IMAGE: "An image is not one, or its data is broken.",
    ErrorType.IMAGE_TOO_LARGE: "An image is larger than a model reads.",
    ErrorType.IMAGE_TOO_SMALL: "An image is smaller than a model reads.",
    ErrorType.UNSUPPORTED_IMAGE_FORMAT: "An image is in a format that the model does not read.",
    ErrorType.IMAGE_DOWNLOAD_FAILED: "The provider could not fetch an image; this gateway never does.",
    ErrorType.AUTHENTICATION: "There is no API key, or it is not valid, switched off or expired.",
    ErrorType.PAYMENT_REQUIRED: "The credit, or the key's limit, does not cover the request.",
    ErrorType.PERMISSION_DENIED: "The caller is known, and may not do this.",
    ErrorType.NOT_FOUND: "What is asked for does not exist, or no endpoint may serve it.",
    ErrorType.IMAGE_NOT_FOUND: "The provider found no image at its address.",
    ErrorType.PRECONDITION_FAILED: "The provider wants something done before.",
    ErrorType.PAYLOAD_TOO_LARGE: "The body has too many bytes.",
    ErrorType.UNPROCESSABLE: "The provider understands the request and cannot work with it.",
    ErrorType.RATE_LIMIT_EXCEEDED: "A rate limit, the provider's or the gateway's; `Retry-After` says how long.",
    ErrorType.SERVER: "An error of the gateway; name the X-Request-Id when you ask about it.",
    ErrorType.UNMAPPED: "The provider answered in a way that says nothing of the request.",
    ErrorType.PROVIDER_UNAVAILABLE: "The provider is down, or its answer is unusable.",
    ErrorType.PROVIDER_OVERLOADED: "The providers, or the gateway, have too much to do.",
    ErrorType.TIMEOUT: "No answer in time.",
}
CODES: Final[Mapping[AvailabilityCode, str]] = {
    AvailabilityCode.MODEL_NOT_FOUND: "There is no model of this name.",
    AvailabilityCode.WRONG_ENDPOINT: "The model does not answer this kind of request.",
    AvailabilityCode.NO_ENDPOINTS: "No endpoint of the model can serve the request.",
    AvailabilityCode.MODEL_DEPRECATED: "Its providers have stopped offering the model.",
    AvailabilityCode.MODEL_UNAVAILABLE_UPSTREAM: "The providers that were tried do not have the model.",
    AvailabilityCode.PRIVACY_RESTRICTED: "The data policy of the request excludes every endpoint.",
    AvailabilityCode.CONSTRAINT_FILTERED: "Demands of the request exclude every endpoint; `excluded_by` and `constraint` say which.",
    AvailabilityCode.FREE_VARIANT_ENDED: "The variant that costs nothing has ended; `fallback_models` names the paid one.",
    AvailabilityCode.REGION_RESTRICTED: "No endpoint is in the region that the request must stay in.",
    AvailabilityCode.CAPACITY_EXHAUSTED: "Every endpoint asks to wait.",
    AvailabilityCode.TEMPORARILY_UNAVAILABLE: "Every endpoint that was tried failed; trying again may help.",
}


def _page() -> bytes:
    types = "".join(
        f'<tr id="{each}"><td><code>{each}</code><td>{STATUSES[each]}<td>{escape(TYPES[each])}' for each in ErrorType
    )
    codes = "".join(
        f'<tr id="{each}"><td><code>{each}</code><td>{AVAILABILITY[each].status}'
        f"<td>{'yes' if AVAILABILITY[each].retryable else 'no'}<td>{escape(CODES[each])}"
        for each in AvailabilityCode
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Errors</title>'
        "<style>body{font:16px sans-serif;margin:2em}td,th{padding:.3em 1em .3em 0;text-align:left;vertical-align:top}"
        ":target{background:#ffc}</style>"
        "<h1>Errors</h1><h2>Types</h2><table><tr><th>error_type<th>status<th>meaning" + types + "</table>"
        "<h2>Availability</h2><table><tr><th>code<th>status<th>try again<th>meaning" + codes + "</table></html>"
    ).encode()


_OPERATION: Final = Operation(
    id="getErrorReference",
    tag="Documentation",
    summary="What each type of error and each availability code means, as a page",
    content={"text/html": None},
)


class ErrorReference:
    """Serves the page."""

    def __init__(self) -> None:
        self._page = _page()

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (Route("GET", "/docs/errors", Access.ANYBODY, self.show, _OPERATION, prefixes=ROOT),)

    async def show(self, exchange: Exchange) -> web.StreamResponse:
        """Return the page."""
        headers = exchange.headers()
        headers["Content-Type"] = "text/html; charset=utf-8"
        headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return web.Response(body=self._page, headers=headers)
