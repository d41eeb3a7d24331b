"""The errors of accounts.

AccountsError
├── InvalidFieldError        a field of the request breaks a rule
├── NotFoundError            there is no such thing, or it belongs to somebody else
├── AlreadyExistsError       it was done before, under the same idempotency key
├── StoreUnavailableError    the database cannot be reached or does not answer: try again later
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
    """It was done before, under the same idempotency key."""


class StoreUnavailableError(AccountsError):
    """The database cannot be reached or does not answer. Says nothing about what was asked for."""


class PowerfulRoleError(AccountsError):
    """PostgreSQL's row-level security does not bind the role that serves, so nothing is served."""

    def __init__(self) -> None:
        super().__init__(
            "the role of postgres.dsn is a superuser, is exempt from row-level security, or owns the tables"
        )
