"""What a dialect can find wrong with what it reads.

DialectError
├── InvalidRequestError      the caller's request: becomes a 400 that names the field
├── UnsupportedRequestError  what the caller asks for cannot be said in a provider's dialect: another provider may do
├── SseError                 bytes that are not a server-sent event stream, or are too long for one
└── UpstreamAnswerError      a provider's answer that is not in its dialect
"""

from __future__ import annotations

from contracts.error_types import ErrorType


class DialectError(Exception):
    """Root of this library's errors."""


class InvalidRequestError(DialectError):
    """The request is not valid.

    Attributes:
        message: a sentence for the caller; it quotes no value of the request.
        param: path of the field, such as `messages[0].content`; None when it is about the whole body.
        error_type: the public API's word for what is wrong.
    """

    def __init__(self, message: str, param: str | None, error_type: ErrorType = ErrorType.INVALID_REQUEST) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.error_type = error_type


class UnsupportedRequestError(DialectError):
    """The dialect has no way to say a part of the request that must not be dropped. The message quotes no value of it."""


class SseError(DialectError):
    """The bytes are not a server-sent event stream: invalid UTF-8, or a line or an event beyond its limit."""


class UpstreamAnswerError(DialectError):
    """A provider's answer is not in its dialect. The message names the place and quotes nothing of the answer."""
