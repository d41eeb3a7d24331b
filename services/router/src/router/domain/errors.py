"""What can go wrong, named for what can be done about it.

RouterError
├── RefusalError                 the caller gets a status, before any of the answer was sent
│   ├── RequestRefusedError      the request must change: invalid, unknown model, too long, against a policy
│   ├── NoEndpointsError         the request's demands exclude every endpoint
│   ├── UpstreamRateLimitedError every endpoint asks to wait
│   ├── UpstreamUnavailableError no endpoint gave a usable answer
│   └── NotAcceptingError        this router cannot take work; another one can
├── AttemptFailedError           one call of one endpoint failed; the next endpoint may do
├── UsageLogError                a usage event could not be made durable
└── KeyHostMismatchError         a provider's key was about to leave for a host that is not the provider's
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.error_types import STATUSES, ErrorType
from contracts.errors import TREATMENTS, ErrorReason
from router.domain.attempts import AttemptFailure


class RouterError(Exception):
    """Root of the router's errors."""


class RefusalError(RouterError):
    """The request is refused before any of the answer was sent.

    Attributes:
        reason: why, in the vocabulary that services share.
        message: a sentence for the caller; no secret, no text of a provider that was not cleaned.
        http_status: what the public API answers.
        error_type: the public API's word for it.
        param: path of the field that is at fault.
        retry_after: seconds after which another try may succeed.
        provider_name: display name of the provider that decided it.
        provider_code: that provider's machine word for it.
        availability: the `availability` object of the public API, as JSON-compatible values.
        previous_errors: what each attempt ended with, as JSON-compatible values.
    """

    def __init__(
        self,
        reason: ErrorReason,
        message: str,
        *,
        http_status: int | None = None,
        error_type: ErrorType | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        provider_name: str | None = None,
        provider_code: str = "",
        availability: Mapping[str, Any] | None = None,
        previous_errors: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        treatment = TREATMENTS[reason]
        self.error_type = error_type if error_type is not None else ErrorType(treatment.error_type)
        if http_status is None:
            http_status = STATUSES[error_type] if error_type is not None else treatment.http_status
        self.http_status = http_status
        self.param = param
        self.retry_after = retry_after
        self.provider_name = provider_name
        self.provider_code = provider_code
        self.availability = availability
        self.previous_errors = previous_errors


class RequestRefusedError(RefusalError):
    """The request must change: it is invalid, names an unknown model, is too long, or is against a policy."""


class NoEndpointsError(RefusalError):
    """The request's demands exclude every endpoint of its models."""


class UpstreamRateLimitedError(RefusalError):
    """Every endpoint asks to wait."""


class UpstreamUnavailableError(RefusalError):
    """No endpoint gave a usable answer."""


class NotAcceptingError(RefusalError):
    """This router cannot take work now; another one can."""


class AttemptFailedError(RouterError):
    """One call of one endpoint failed. `failure` says how."""

    def __init__(self, failure: AttemptFailure) -> None:
        super().__init__(failure.kind.value)
        self.failure = failure


class UsageLogError(RouterError):
    """A usage event could not be made durable, so its answer must not be reported as finished."""


class KeyHostMismatchError(RouterError):
    """A provider's key was about to leave for a host that is not the provider's (S18)."""
