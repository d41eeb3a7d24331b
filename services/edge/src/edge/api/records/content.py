"""`GET /generation/content` and `POST /generation/feedback`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web

from contracts.ids import parse_generation_id
from dialects.request_reading import convert_request, parse_request
from edge.api.http.answer import Answer, Data
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import text_parameter
from edge.api.http.routes import Access, Route
from edge.api.records.generation import GenerationQuery
from edge.domain.errors import InvalidInputError
from edge.domain.principal import KeyKind
from edge.ports import ContentLibrary, Feedback
from edge.records import Records

_encode = msgspec.json.Encoder().encode


class GenerationInput(Answer, frozen=True, kw_only=True):
    """What was asked, as chat messages whatever the dialect was."""

    messages: list[dict[str, Any]]


class GenerationOutput(Answer, frozen=True, kw_only=True):
    """What was answered: text of the first choice."""

    completion: str | None
    reasoning: str | None


class FailedTry(Answer, frozen=True, kw_only=True):
    """An attempt that failed before. `message` is the kind of failure; a provider's own text is not kept."""

    code: int
    message: str | None
    provider_name: str | None
    raw: str | None


class GenerationFailure(Answer, frozen=True, kw_only=True):
    """Why there was no answer, or no whole one."""

    message: str | None
    status: int | None
    provider_name: str | None
    previous_errors: list[FailedTry]
    raw: str | None


class GenerationContentAnswer(Answer, frozen=True, kw_only=True):
    """What was said in a generation."""

    input: GenerationInput
    output: GenerationOutput
    error: GenerationFailure | None


class FeedbackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody thinks of a generation."""

    generation_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    category: Literal["latency", "incoherence", "incorrect_response", "formatting", "billing", "api_error", "other"]
    comment: Annotated[str, msgspec.Meta(max_length=1_000)] | None = None


class FeedbackResult(Answer, frozen=True, kw_only=True):
    """It is kept."""

    success: Literal[True]


_CONTENT: Final = Operation(
    id="listGenerationContent",
    tag="Generations",
    summary="Get what was said in a generation, where the key had opted in to keeping it",
    query=GenerationQuery,
    answer=Data[GenerationContentAnswer],
    errors=(404,),
)
_FEEDBACK: Final = Operation(
    id="submitGenerationFeedback",
    tag="Generations",
    summary="Say what you think of a generation",
    body=FeedbackBody,
    answer=Data[FeedbackResult],
    errors=(404, 409),
)


class GenerationContents:
    """Serves contents, and takes feedback."""

    def __init__(self, library: ContentLibrary, records: Records, bodies: JsonBodies) -> None:
        """Make the handler.

        Args:
            library: keeps both.
            records: knows which generations there are.
            bodies: reads requests.
        """
        self._library = library
        self._records = records
        self._bodies = bodies

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/generation/content", Access.ANY_KEY, self.content, _CONTENT),
            Route("POST", "/generation/feedback", Access.MANAGEMENT_KEY, self.feedback, _FEEDBACK),
        )

    async def content(self, exchange: Exchange) -> web.StreamResponse:
        """Return what was said in a generation of the caller's organisation.

        Raises:
            InvalidInputError: there is no id, or it is not one of a generation.
            NotFoundError: nothing is kept of it: its key had not opted in, the request demanded zero retention, or its time is over.
            DependencyError: nobody could say.
        """
        generation_id = text_parameter(exchange.request, "id")
        if generation_id is None:
            raise InvalidInputError("id: required", "id")
        try:
            parse_generation_id(generation_id)
        except ValueError as error:
            raise InvalidInputError(f"id: {error}", "id") from None
        principal = exchange.principal
        # Who manages keys may see what each of them says; a key sees what it said itself.
        key_id = "" if principal.key.kind is KeyKind.MANAGEMENT else principal.key.key_id
        content = await self._library.get(principal.org.org_id, generation_id, key_id)
        return exchange.json(b'{"data":' + content + b"}")

    async def feedback(self, exchange: Exchange) -> web.StreamResponse:
        """Keep what somebody thinks of a generation of the caller's organisation.

        Raises:
            InvalidRequestError: the body is not valid.
            InvalidInputError: the id is not one of a generation.
            NotFoundError: there is no such generation.
            DependencyError: nobody could say.
        """
        body = convert_request(parse_request(await self._bodies.read(exchange.request)), FeedbackBody)
        org_id = exchange.principal.org.org_id
        try:
            await self._records.get(body.generation_id, org_id)
        except InvalidInputError:
            raise InvalidInputError("generation_id: not the id of a generation", "generation_id") from None
        await self._library.submit(Feedback(org_id, body.generation_id, body.category, body.comment or ""))
        return exchange.json(_encode(Data(data=FeedbackResult(success=True))))
