"""Why a request is refused.

EdgeError
├── CredentialError               who calls is not established
│   ├── MissingCredentialError
│   ├── InvalidKeyError           unknown, malformed or deleted: the caller cannot tell which
│   ├── DisabledKeyError
│   └── ExpiredKeyError
├── ForbiddenError                who calls is known, and may not
│   ├── WrongKeyKindError
│   ├── AddressNotAllowedError
│   ├── BudgetExceededError
│   ├── ContentBlockedError
│   ├── WrongRoleError
│   ├── BudgetError
│   ├── CrossSiteError
│   └── FrozenOrgError
├── CreditError                   who calls is known, and cannot pay
│   ├── InsufficientCreditError
│   ├── NegativeBalanceError
│   └── KeyLimitError
├── InvalidInputError             the request is wrong; names the field where it can
├── NotFoundError                 the thing asked for does not exist, or belongs to another organisation
├── RateLimitError                more requests than a limit of ours allows
├── BusyError                     this process is full; later is better
├── DependencyError               another service did not answer, so nothing can be said of the request
├── RefusedError                  another service answered, and refused
└── BrokenAnswerError             the answer began and then broke off

`edge.api.http.errors` adds the ones that only HTTP knows, and holds the table that turns each into an answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.errors import ErrorReason


class EdgeError(Exception):
    """Root of this service's errors. The text is for the caller: no secret, no internals."""


class CredentialError(EdgeError):
    """Who calls is not established."""


class MissingCredentialError(CredentialError):
    """There is no bearer token."""

    def __init__(self) -> None:
        super().__init__("No auth credentials found")


class InvalidKeyError(CredentialError):
    """Unknown, malformed or deleted: the same for all three, so that nobody learns which keys exist (S7)."""

    def __init__(self) -> None:
        super().__init__("Invalid API key")


class DisabledKeyError(CredentialError):
    """Its owner switched the key off."""

    def __init__(self) -> None:
        super().__init__("This API key is disabled")


class ExpiredKeyError(CredentialError):
    """The key's time is over."""

    def __init__(self) -> None:
        super().__init__("This API key has expired")


class ForbiddenError(EdgeError):
    """Who calls is known, and may not."""


class WrongKeyKindError(ForbiddenError):
    """An inference key where a management key is needed, or the reverse."""


class AddressNotAllowedError(ForbiddenError):
    """The key may be used from other networks only. The caller's address is not repeated: proxies may have changed it."""

    def __init__(self) -> None:
        super().__init__("This API key may not be used from this network")


class BudgetExceededError(ForbiddenError):
    """A budget of a guardrail is used up."""

    def __init__(self, budget: str, guardrail: str) -> None:
        super().__init__(f"The {budget} of the guardrail {guardrail} is exceeded. Contact your organization's admin.")


class ContentBlockedError(ForbiddenError):
    """The request holds what a guardrail blocks.

    Attributes:
        patterns: names of the filters that found something; never what they found.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        super().__init__("Request blocked by a guardrail: it contains " + ", ".join(patterns))
        self.patterns = patterns


class WrongRoleError(ForbiddenError):
    """The member's role does not allow it."""

    def __init__(self) -> None:
        super().__init__("Your role in this organization does not allow this operation")


class BudgetError(ForbiddenError):
    """A budget of the key's workspace is spent."""


class CrossSiteError(ForbiddenError):
    """A request that another site may have made with the cookie of somebody who is signed in here."""


class FrozenOrgError(ForbiddenError):
    """The organisation may not spend, whatever its balance."""

    def __init__(self) -> None:
        super().__init__("This organization is suspended")


class CreditError(EdgeError):
    """Who calls is known, and cannot pay."""


class InsufficientCreditError(CreditError):
    """The dearest way in which the request could end is beyond what is left.

    Attributes:
        requested_tokens: output tokens that were asked for, or the cap that stands in for them.
        affordable_tokens: output tokens that what is left would pay for; 0 when not even the prompt fits.
    """

    def __init__(self, requested_tokens: int, affordable_tokens: int, hint: str = "") -> None:
        super().__init__(
            "This request requires more credits, or fewer max_tokens. "
            f"You requested up to {requested_tokens} tokens, but can only afford {affordable_tokens}.{hint}"
        )
        self.requested_tokens = requested_tokens
        self.affordable_tokens = affordable_tokens


class NegativeBalanceError(CreditError):
    """The organisation owes; nothing is served until that changes, free models included."""

    def __init__(self) -> None:
        super().__init__("Insufficient credits: the balance of this organization is negative. Add credits to continue.")


class KeyLimitError(CreditError):
    """The key has spent its limit."""

    def __init__(self) -> None:
        super().__init__("Key limit exceeded. Raise the limit of this API key, or use another one.")


class InvalidInputError(EdgeError):
    """The request is wrong.

    Attributes:
        param: path of the field, such as `messages[0].content`; None when it is about the whole.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class NotFoundError(EdgeError):
    """The thing asked for does not exist, or belongs to another organisation."""


class RateLimitError(EdgeError):
    """More requests than a limit of ours allows.

    Attributes:
        limit: requests of the window.
        remaining: of them, 0 unless what is limited comes in several sizes.
        reset_ms: Unix milliseconds from which there are more.
        retry_after_s: seconds until then.
    """

    def __init__(self, message: str, *, limit: int, reset_ms: int, retry_after_s: float, remaining: int = 0) -> None:
        super().__init__(message)
        self.limit = limit
        self.remaining = remaining
        self.reset_ms = reset_ms
        self.retry_after_s = retry_after_s


class BusyError(EdgeError):
    """This process has as much in hand as it may."""

    def __init__(self) -> None:
        super().__init__("The service is busy. Try again in a moment.")


class DependencyError(EdgeError):
    """Another service did not answer.

    Attributes:
        dependency: its name, for the log.
    """

    def __init__(self, dependency: str) -> None:
        super().__init__("The service is temporarily unavailable. Try again in a moment.")
        self.dependency = dependency


class RefusedError(EdgeError):
    """Another service answered, and refused.

    Attributes:
        reason: why, in the vocabulary that the services share.
        message: a sentence for the caller.
        metadata: what the provider's answer or the refusing service adds: `http_status`, `error_type`, `availability`
            (JSON), `previous_errors` (JSON), `provider_name`, `provider_code`, `param`.
        retry_after_s: seconds after which trying again makes sense; None when nothing is known.
    """

    def __init__(
        self,
        reason: ErrorReason,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = metadata or {}
        self.retry_after_s = retry_after_s


class BrokenAnswerError(EdgeError):
    """The answer began and then broke off.

    Attributes:
        status: HTTP status that it would have had before its first piece.
        error_type: the word for it in the public API.
    """

    def __init__(self, message: str, status: int = 502, error_type: str = "provider_unavailable") -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
