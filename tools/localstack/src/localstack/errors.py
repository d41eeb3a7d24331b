"""What can go wrong with the local stack. Each message is one line that says what to do or where to look.

StackError
├── AlreadyRunningError     another stack uses this state directory
├── NotRunningError         no stack uses this state directory
├── PortTakenError          the port that was asked for is in use
├── DiskFullError           too little space for the state
├── MissingPartError        a Python package or a file is not installed
├── StateDamagedError       the state directory does not hold what it must
├── ChildFailedError        a process cannot be kept alive
├── ChildNotReadyError      a process did not become ready in time
├── BrokerUnusableError     the Kafka that was named does not answer, or lacks a topic
└── AccountsUnusableError   accounts did not give an organisation and keys
"""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start or go on; the message is for people."""


class AlreadyRunningError(StackError):
    """Another stack uses this state directory."""


class NotRunningError(StackError):
    """No stack uses this state directory."""


class PortTakenError(StackError):
    """The port that was asked for is in use."""


class DiskFullError(StackError):
    """Too little space for the state."""


class MissingPartError(StackError):
    """A Python package or a file is not installed."""


class StateDamagedError(StackError):
    """The state directory does not hold what it must, or cannot be written."""


class ChildFailedError(StackError):
    """A process cannot be kept alive."""


class ChildNotReadyError(StackError):
    """A process did not become ready in time."""


class BrokerUnusableError(StackError):
    """The Kafka that was named does not answer, or lacks a topic that may not be created."""


class AccountsUnusableError(StackError):
    """accounts did not give an organisation and keys."""
