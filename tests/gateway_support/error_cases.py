"""Every type of error and every availability code of the public API, and what provokes it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.error_types import AvailabilityCode, ErrorType
from gateway_support.speakers import Ask
from router.testing import scripts
from router.testing.catalogs import ALL_PARAMETERS, Offer
from router.testing.scripted_provider import Script

TALK = scripts.speak(["Hello"])
T, A = ErrorType, AvailabilityCode


def said(message: str, code: str = "", status: int = 400) -> Script:
    """A provider's refusal."""
    return scripts.refuse(status, {"error": {"message": message, "code": code, "type": "invalid_request_error"}})


def png(width: int, height: int) -> str:
    """Address of a picture whose header states a size."""
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return "data:image/png;base64," + base64.b64encode(header + b"\x08\x02\x00\x00\x00").decode()


@dataclass(frozen=True)
class Case:
    """One way to an error.

    Attributes:
        name: of the case, and of its model.
        error_type: what it must be.
        code: of its availability, None for none.
        script: what the providers do.
        providers: how many there are.
        offer: members of the offers that differ.
        ask: members of the request that differ.
        caller: `owner`, or somebody else: `nobody`, `poor`, `manager`.
        headers: of the request.
        tells: members that the availability must have.
        retry_after: whether the answer says when to come back.
        at_the_edge: whether the edge refuses the request, before there is a generation.
    """

    name: str
    error_type: ErrorType
    code: AvailabilityCode | None = None
    script: Script = TALK
    providers: int = 1
    offer: Mapping[str, Any] = field(default_factory=dict)
    ask: Mapping[str, Any] = field(default_factory=dict)
    caller: str = "owner"
    headers: Mapping[str, str] = field(default_factory=dict)
    tells: Mapping[str, Any] = field(default_factory=dict)
    retry_after: bool = False
    at_the_edge: bool = False

    def offers(self, model: str, urls: list[str]) -> list[Offer]:
        """Its part of the catalogue."""
        base = Offer("none", model=model, input_modalities=("text", "image"))
        return [
            replace(base, provider=f"{self.name}-{model.rpartition('-')[2]}-{number}", url=url, **self.offer)
            for number, url in enumerate(urls)
        ]

    def request(self, model: str) -> Ask:
        """What is asked for."""
        return replace(Ask(model), **self.ask)


EARLY: tuple[Case, ...] = (
    # What the edge says.
    Case("no-key", T.AUTHENTICATION, caller="nobody"),
    Case("no-credit", T.PAYMENT_REQUIRED, caller="poor"),
    Case("management-key", T.PERMISSION_DENIED, caller="manager"),
    Case("wrong-type", T.INVALID_REQUEST, ask={"members": {"temperature": "hot"}}),
    Case("long-session", T.STRING_TOO_LONG, ask={"members": {"session_id": "s" * 257}}, at_the_edge=True),
    Case("large-body", T.PAYLOAD_TOO_LARGE, ask={"text": "x" * 250_000}),
    Case("broken-image", T.INVALID_IMAGE, ask={"image": "data:image/png;base64,bm8gaW1hZ2U="}),
    Case("huge-image", T.IMAGE_TOO_LARGE, ask={"image": png(20_000, 1)}),
    Case("empty-image", T.IMAGE_TOO_SMALL, ask={"image": png(0, 0)}),
    Case("drawing", T.UNSUPPORTED_IMAGE_FORMAT, ask={"image": "data:image/svg+xml;base64,PHN2Zz4="}),
    Case("insecure-image", T.IMAGE_DOWNLOAD_FAILED, ask={"image": "http://example.org/a.png"}),
    # What the router says without asking a provider.
    Case("long-prompt", T.CONTEXT_LENGTH_EXCEEDED, offer={"context_length": 9_000}, ask={"text": "word " * 26_000}),
    Case("long-answer", T.MAX_TOKENS_EXCEEDED, offer={"max_completion_tokens": 100}, ask={"max_tokens": 200}),
    # What providers say.
    Case("context", T.CONTEXT_LENGTH_EXCEEDED, script=said("Too long.", "context_length_exceeded")),
    Case("max-tokens", T.MAX_TOKENS_EXCEEDED, script=said("max_tokens is too large: 9. At most 8 are supported.")),
    Case("token-limit", T.TOKEN_LIMIT_EXCEEDED, script=said("Request body too large.", "tokens_limit_reached")),
    Case("long-string", T.STRING_TOO_LONG, script=said("Too long.", "string_above_max_length")),
    Case("odd-request", T.INVALID_REQUEST, script=said("That will not do.")),
    Case("odd-prompt", T.INVALID_PROMPT, script=said("Your prompt was flagged as odd.", "invalid_prompt")),
    Case("policy", T.CONTENT_POLICY_VIOLATION, script=said("No.", "content_policy_violation")),
    Case("refusal", T.REFUSAL, script=said("I would rather not.", "refusal")),
    Case("bad-image", T.INVALID_IMAGE, script=said("Could not process image"), ask={"image": png(1, 1)}),
    Case("large-image", T.IMAGE_TOO_LARGE, script=said("image exceeds 5 MB maximum"), ask={"image": png(1, 1)}),
    Case("small-image", T.IMAGE_TOO_SMALL, script=said("The image is too small"), ask={"image": png(1, 1)}),
    Case(
        "image-format", T.UNSUPPORTED_IMAGE_FORMAT, script=said("No.", "invalid_image_format"), ask={"image": png(1, 1)}
    ),
    Case(
        "lost-image",
        T.IMAGE_DOWNLOAD_FAILED,
        script=said("Failed to download image"),
        ask={"image": "https://example.org/a.png"},
    ),
    Case(
        "no-image",
        T.IMAGE_NOT_FOUND,
        script=said("No such image.", "image_not_found", 404),
        ask={"image": "https://example.org/a.png"},
    ),
    Case("precondition", T.PRECONDITION_FAILED, script=said("Not yet.", status=412)),
    Case("too-large", T.PAYLOAD_TOO_LARGE, script=said("Request too large.", status=413)),
    Case("unprocessable", T.UNPROCESSABLE, script=said("Understood and impossible.", status=422)),
    Case("teapot", T.UNMAPPED, script=said("I am a teapot.", status=418)),
    Case("provider-limit", T.RATE_LIMIT_EXCEEDED, A.CAPACITY_EXHAUSTED, script=scripts.refuse(429)),
    Case("reset", T.PROVIDER_UNAVAILABLE, A.TEMPORARILY_UNAVAILABLE, script=scripts.reset),
    Case("overloaded", T.PROVIDER_OVERLOADED, A.TEMPORARILY_UNAVAILABLE, script=scripts.refuse(529), retry_after=True),
    Case("silence", T.TIMEOUT, A.TEMPORARILY_UNAVAILABLE, script=scripts.silence),
    # Why a model cannot be served.
    Case("nothing", T.INVALID_REQUEST, A.MODEL_NOT_FOUND, ask={"model": "acme/nothing"}),
    Case(
        "vectors",
        T.INVALID_REQUEST,
        A.WRONG_ENDPOINT,
        offer={"output_modalities": ("embeddings",)},
        tells={"constraint": {"field": "model", "detail": "output modality embeddings"}},
    ),
    Case(
        "no-tools",
        T.NOT_FOUND,
        A.NO_ENDPOINTS,
        offer={"parameters": [name for name in ALL_PARAMETERS if not name.startswith("tool")]},
        ask={"tool": "look"},
    ),
    Case("ended", T.NOT_FOUND, A.MODEL_DEPRECATED, offer={"expiration_date": "2026-02-01"}),
    Case(
        "gone",
        T.NOT_FOUND,
        A.MODEL_UNAVAILABLE_UPSTREAM,
        script=said("The model does not exist.", "model_not_found", 404),
    ),
    Case(
        "keeps",
        T.NOT_FOUND,
        A.PRIVACY_RESTRICTED,
        offer={"retains": True},
        ask={"members": {"provider": {"zdr": True}}},
        tells={"excluded_by": ["data_policy:zdr"]},
    ),
    Case(
        "dear",
        T.NOT_FOUND,
        A.CONSTRAINT_FILTERED,
        ask={"members": {"provider": {"max_price": {"prompt": 0.1}}}},
        tells={"excluded_by": ["max_price"]},
    ),
    Case("free", T.NOT_FOUND, A.FREE_VARIANT_ENDED),
    Case(
        "abroad",
        T.PERMISSION_DENIED,
        A.REGION_RESTRICTED,
        offer={"datacenters": ("US",)},
        headers={"Host": "eu.turnpike.example"},
        tells={"excluded_by": ["data_region"]},
    ),
    Case(
        "busy",
        T.RATE_LIMIT_EXCEEDED,
        A.CAPACITY_EXHAUSTED,
        script=scripts.refuse(429, headers={"Retry-After": "7"}),
        providers=2,
        retry_after=True,
    ),
    Case("broken", T.PROVIDER_OVERLOADED, A.TEMPORARILY_UNAVAILABLE, script=scripts.refuse(500), providers=2),
)


def then(*events: Any) -> Script:
    """Say a word, and then go wrong."""
    return scripts.slowly(scripts.stream(scripts.delta("Hello"), *events))


def error_event(message: str, code: str | int) -> dict[str, Any]:
    """An error in the middle of a stream."""
    return {"error": {"message": message, "code": code}}


LATE: tuple[Case, ...] = (
    Case("late-cut", T.PROVIDER_UNAVAILABLE, script=scripts.slowly(scripts.stream(scripts.delta("Hello"), end=False))),
    Case("late-stall", T.TIMEOUT, script=scripts.stall_after(scripts.delta("Hello"))),
    Case("late-load", T.PROVIDER_OVERLOADED, script=then(error_event("Overloaded", 529))),
    Case("late-limit", T.RATE_LIMIT_EXCEEDED, script=then(error_event("Slow down", 429))),
    Case("late-policy", T.CONTENT_POLICY_VIOLATION, script=then(error_event("No.", "content_policy_violation"))),
    Case("late-refusal", T.REFUSAL, script=then(error_event("I would rather not.", "refusal"))),
    Case("late-length", T.CONTEXT_LENGTH_EXCEEDED, script=then(error_event("Full.", "context_length_exceeded"))),
    Case("late-tokens", T.TOKEN_LIMIT_EXCEEDED, script=then(error_event("Full.", "tokens_limit_reached"))),
)
