"""Members of a request beside the messages and the sampling: caching, prediction, limits of loops, tracing."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

# Names have no brackets because analytics address a member as `metadata[name]`.
Metadata = Annotated[
    dict[
        Annotated[str, Meta(max_length=64, pattern=r"^[^\[\]]*$")],
        Annotated[str, Meta(max_length=512)],
    ],
    Meta(max_length=16),
]


class StreamOptions(Struct, frozen=True):
    """`include_usage` changes nothing: usage is always sent."""

    include_usage: bool | None = None


class UsageOptions(Struct, frozen=True):
    """The old way to ask for usage, which is always sent."""

    include: bool | None = None


class DebugOptions(Struct, frozen=True):
    """Streaming only: the bodies that were sent to providers come first."""

    echo_upstream_body: bool | None = None


class CacheControl(Struct, frozen=True, omit_defaults=True):
    """The end of a prefix that a provider is to keep; on a whole request, the last part that can be kept."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class CacheBreakpoint(Struct, frozen=True):
    """The same in OpenAI's words."""

    mode: Literal["explicit"]


class PromptCacheOptions(Struct, frozen=True):
    """`explicit` keeps what is marked and nothing else."""

    mode: Literal["explicit", "implicit"]
    ttl: str | None = None


class PredictedText(Struct, frozen=True, tag_field="type", tag="text"):
    """A part of a prediction."""

    text: str


class Prediction(Struct, frozen=True, tag_field="type", tag="content"):
    """What the answer will mostly be."""

    content: str | list[PredictedText]


class StopAfterSteps(Struct, frozen=True, tag_field="type", tag="step_count_is"):
    """After so many steps."""

    step_count: int


class StopAfterTool(Struct, frozen=True, tag_field="type", tag="has_tool_call"):
    """After a call of this tool."""

    tool_name: Annotated[str, Meta(min_length=1)]


class StopAfterTokens(Struct, frozen=True, tag_field="type", tag="max_tokens_used"):
    """After so many tokens."""

    max_tokens: int


class StopAfterCost(Struct, frozen=True, tag_field="type", tag="max_cost"):
    """After so many dollars."""

    max_cost_in_dollars: float


class StopAtFinishReason(Struct, frozen=True, tag_field="type", tag="finish_reason_is"):
    """At this finish reason."""

    reason: Annotated[str, Meta(min_length=1)]


StopConditions = list[StopAfterSteps | StopAfterTool | StopAfterTokens | StopAfterCost | StopAtFinishReason]


class TraceOptions(Struct, frozen=True):
    """What the caller's own traces call the request. Further members are its own."""

    trace_id: str | None = None
    trace_name: str | None = None
    span_name: str | None = None
    generation_name: str | None = None
    parent_span_id: str | None = None
