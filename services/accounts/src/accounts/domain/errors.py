"""The errors of accounts.

AccountsError
├── InvalidFieldError        a field of the request breaks a rule
├── NotFoundError            there is no such thing, or it belongs to somebody else
├── AlreadyExistsError       it was done before, or the name is taken
├── ForbiddenError           a rule of the organisation is against it
├── NotSignedInError         who asks is not who they say, for all that can be told
├── TooManyAttemptsError     too many failed sign-ins: later
├── ProviderUnavailableError the OpenID provider does not answer, or not as it should
├── NotSetUpError            the installation does not offer it
├── StoreUnavailableError    the database cannot be reached or does not answer: try again later
├── PaymentsDisabledError    the installation does not sell credit
├── PaymentProviderError     the payment provider does not answer, or refuses
├── PaymentDeclinedError     a kept means of payment was declined
├── UntrustedStatementError  what claims to be the payment provider's word is not
├── TooEarlyError            what must come first is still on its way: send it again
├── FencedError              a younger process of the same edge has called
├── BusyError                too many calls wait already: try again later
└── PowerfulRoleError        row-level security does not bind the role that serves: never starts
"""

from __future__ import annotations


class AccountsError(Exception):
    """Something that accounts was asked for cannot be done. The text is fit for the caller."""


class InvalidFieldError(AccountsError):
    """A field breaks a rule.

    Attributes:
        field: its name in the request.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field


class NotFoundError(AccountsError):
    """There is no such thing, or it belongs to another organisation: the two look the same."""


class AlreadyExistsError(AccountsError):
    """It was done before, under the same idempotency key, or the name is taken."""


class ForbiddenError(AccountsError):
    """Who asks may do such things, but a rule of the organisation is against this one."""


class NotSignedInError(AccountsError):
    """Who asks is not established. Always the same text, so that nobody learns which accounts exist (S7)."""

    def __init__(self) -> None:
        super().__init__("The email address or the password is wrong")


class TooManyAttemptsError(AccountsError):
    """Too many sign-ins failed, for this account or from this address.

    Attributes:
        retry_after_s: seconds after which trying again makes sense.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Too many failed attempts to sign in: try again later")
        self.retry_after_s = retry_after_s


class ProviderUnavailableError(AccountsError):
    """The OpenID provider does not answer, or not as it should."""


class NotSetUpError(AccountsError):
    """The installation does not offer it."""


class StoreUnavailableError(AccountsError):
    """The database cannot be reached or does not answer. Says nothing about what was asked for."""


class PaymentsDisabledError(AccountsError):
    """The installation does not sell credit."""


class PaymentProviderError(AccountsError):
    """The payment provider does not answer, or refuses. Says nothing about whether money has moved."""


class PaymentDeclinedError(AccountsError):
    """A kept means of payment was declined."""


class UntrustedStatementError(AccountsError):
    """What claims to be the payment provider's word is not signed by it, or is too old."""


class TooEarlyError(AccountsError):
    """What must come first is still on its way: the sender is to send it again."""


class FencedError(AccountsError):
    """A younger process of the same edge has called: this one was given up for dead, and may borrow nothing more."""

    def __init__(self) -> None:
        super().__init__("a younger process of this edge has called")


class BusyError(AccountsError):
    """Too many calls wait already."""

    def __init__(self) -> None:
        super().__init__("Too many calls wait already: try again later")


class PowerfulRoleError(AccountsError):
    """PostgreSQL's row-level security does not bind the role that serves, so nothing is served."""

    def __init__(self) -> None:
        super().__init__(
            "the role of postgres.dsn is a superuser, is exempt from row-level security, or owns the tables"
        )
