"""Which broker tests speak to: the embedded one, unless the run chose another kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from servicekit.testing.broker import EmbeddedBroker


class BrokerProcess(Protocol):
    """A broker in a process of its own. `bootstrap` stays the same over restarts."""

    @property
    def bootstrap(self) -> str:
        """`host:port` to bootstrap from."""
        ...

    def start(self) -> None:
        """Start; return when it takes requests.

        Raises:
            Exception: it runs already, or did not start.
        """
        ...

    def stop(self) -> None:
        """Stop it in order."""
        ...

    def kill(self) -> None:
        """Kill it."""
        ...

    def restart(self) -> None:
        """Kill it and start it again: with its records where it keeps them, otherwise as `replace` does."""
        ...

    def replace(self) -> None:
        """Kill it and start another cluster at the same address, with nothing in it."""
        ...

    def suspend(self) -> None:
        """Freeze it: connections stay open and get no answer."""
        ...

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        ...


MakeBroker = Callable[[], BrokerProcess]
LendBroker = Callable[[], AbstractContextManager[BrokerProcess]]


@contextmanager
def _start_and_kill() -> Iterator[BrokerProcess]:
    broker = new_broker()
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class _Kind:
    make: MakeBroker = EmbeddedBroker
    lend: LendBroker = _start_and_kill


def use_brokers(make: MakeBroker, lend: LendBroker = _start_and_kill) -> None:
    """Choose the kind of broker for all tests of this process.

    Args:
        make: one that is not started.
        lend: one that runs, has nothing in it and is nobody else's until the block ends; unless given, each is made anew.
    """
    _Kind.make = staticmethod(make)
    _Kind.lend = staticmethod(lend)


def new_broker() -> BrokerProcess:
    """A broker of the chosen kind that is not started."""
    return _Kind.make()


def keeps_records() -> bool:
    """Whether brokers of the chosen kind have their records after a restart."""
    return _Kind.make is not EmbeddedBroker


def kafka_broker() -> AbstractContextManager[BrokerProcess]:
    """A running broker of its own, with nothing in it, to do with as one likes until the block ends."""
    return _Kind.lend()
