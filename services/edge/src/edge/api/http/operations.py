"""What a route says about itself: the part of the OpenAPI document that is its own.

The types named here are the ones that requests are validated with, and that the answers of the tests are checked against,
so the document cannot say anything else than the code does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from msgspec import Struct

from edge.api.http.error_answer import ErrorAnswer

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

# What a request for inference may end with besides what every route with a key and a body may.
INFERENCE_ERRORS: Final = (402, 403, 404, 412, 422, 429, 502, 504, 524, 529)

Tag = Literal[
    "API Keys",
    "Analytics",
    "BYOK",
    "Benchmarks",
    "Chat",
    "Classifications",
    "Completions",
    "Credits",
    "Datasets",
    "Documentation",
    "Embeddings",
    "Endpoints",
    "Generations",
    "Guardrails",
    "Images",
    "Messages",
    "Models",
    "OAuth",
    "Observability",
    "Organization",
    "Presets",
    "Providers",
    "Rerank",
    "Responses",
    "STT",
    "Sessions",
    "TTS",
    "Workspaces",
]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the OpenAPI document.

    Attributes:
        id: `operationId`, unique; OpenRouter's where it has the operation.
        tag: the group it is listed in.
        summary: one sentence, without a full stop.
        answer: type of the JSON answer; None where there is none.
        status: of a good answer.
        content: further media types of a good answer, and the type of each; of a stream it is the type of its events;
            None is bytes or text.
        body: type that the JSON body is validated with; None where none is read.
        bodies: further media types of the body, likewise.
        body_required: whether a request without a body is refused.
        query: a struct that the query is read into by `edge.api.http.queries.read_query`.
        headers: a struct whose members are the headers that the operation knows.
        errors: statuses of refusals besides those that follow from the route (`edge.api.openapi.statuses`).
        error: type of the JSON of a refusal.
        description: more than the summary says, in Markdown.
    """

    id: str
    tag: Tag
    summary: str
    answer: Any = None
    status: int = 200
    content: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    bodies: Mapping[str, Any] = field(default_factory=dict)
    body_required: bool = True
    query: type[Struct] | None = None
    headers: type[Struct] | None = None
    errors: tuple[int, ...] = ()
    error: type[Struct] = ErrorAnswer
    description: str = ""
