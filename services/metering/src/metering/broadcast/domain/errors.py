"""The errors of the sender.

BroadcastError
├── AccountsUnavailableError  accounts does not answer
└── UnreadableConfigError     a configuration does not open
"""

from __future__ import annotations


class BroadcastError(Exception):
    """Something about sending cannot be done."""


class AccountsUnavailableError(BroadcastError):
    """Accounts does not answer, or not as it should."""


class UnreadableConfigError(BroadcastError):
    """A configuration does not open. Says nothing of it."""
