"""What can go wrong with a command. Each message is one line that says what to do.

CommandError
├── NoAnswerError     nothing answers at the address
├── RefusedError      the API or the router refused
├── NoSuchKeyError    no key, or more than one, is meant
└── CatalogFileError, FaultyCatalogError    in the modules of `turnpike catalog`
"""

from __future__ import annotations


class CommandError(Exception):
    """The command could not be done; the message is for people."""


class NoAnswerError(CommandError):
    """Nothing answers at the address, or not what Turnpike would."""


class RefusedError(CommandError):
    """The API refused."""


class NoSuchKeyError(CommandError):
    """No key, or more than one, is meant."""
