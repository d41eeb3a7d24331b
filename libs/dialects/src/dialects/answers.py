"""A provider's answer, typed, whatever its dialect. Text of the provider in an error is for classification only, never for the caller."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from dialects.operations.products import Product


class FinishReason(StrEnum):
    """Why a choice ended, in the public API's words."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"


class ToolCallPiece(Struct, frozen=True, gc=False):
    """A piece of a tool call; pieces with the same index concatenate."""

    index: int
    id: str = ""
    type: str = ""
    name: str = ""
    arguments: str = ""


class ChoiceDelta(Struct, frozen=True):
    """A piece of a choice, or a whole one.

    Attributes:
        index: which choice.
        content, reasoning, refusal: next characters, None when the piece has none.
        tool_calls: pieces of tool calls.
        finish_reason: set in the last piece.
        native_finish_reason: the provider's own word for it.
        stop_sequence: the caller's stop sequence that ended it, when the provider says which.
        extra: members of the delta or message that have no field here (reasoning_details, images, annotations ...).
        logprobs: the choice's log probabilities, as they came.
    """

    index: int
    content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCallPiece, ...] = ()
    finish_reason: FinishReason | None = None
    native_finish_reason: str | None = None
    extra: dict[str, Any] | None = None
    logprobs: Any = None
    stop_sequence: str | None = None

    @property
    def has_output(self) -> bool:
        """Whether the caller would see anything of it: text, reasoning, a refusal, a tool call, or an extra member."""
        return bool(self.content or self.reasoning or self.refusal or self.tool_calls or self.extra)


class Usage(Struct, frozen=True, gc=False):
    """Counts, consistent: `prompt` includes `cached` and `cache_write`, `completion` includes `reasoning`.

    The last three are of operations beside completions: pictures made, milliseconds of sound heard, searches. 0: not said.
    """

    prompt: int
    completion: int
    reasoning: int = 0
    cached: int = 0
    cache_write: int = 0
    images: int = 0
    audio_ms: int = 0
    search_units: int = 0


class UpstreamErrorKind(StrEnum):
    """What a provider's error means to a router."""

    CONTEXT_LENGTH = "context_length"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CONTENT_POLICY = "content_policy"
    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    MODEL_NOT_FOUND = "model_not_found"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    SERVER = "server"


class UpstreamError(Struct, frozen=True, gc=False):
    """An error object of a provider.

    Attributes:
        kind: what it means.
        status: the HTTP status that it came with or that its code names, 0 when there is none.
        code: the provider's machine word for it, at most 64 characters.
        message: the provider's text, at most 1,000 characters. Not for logs, records or callers as it is.
        retry_after: seconds that the body asks to wait, None when it does not say; a header may say it instead.
    """

    kind: UpstreamErrorKind
    status: int = 0
    code: str = ""
    message: str = ""
    retry_after: float | None = None


class Answer(Struct, frozen=True):
    """A whole answer, or one event of a streamed one.

    Attributes:
        id: the provider's id for the answer.
        choices: pieces of choices.
        usage: token counts, when they came and are possible.
        error: set when the provider reports an error, whatever the HTTP status.
        product: what came of an operation beside completions, whole.
    """

    id: str = ""
    choices: tuple[ChoiceDelta, ...] = ()
    usage: Usage | None = None
    error: UpstreamError | None = None
    system_fingerprint: str = ""
    service_tier: str = ""
    product: Product | None = None
