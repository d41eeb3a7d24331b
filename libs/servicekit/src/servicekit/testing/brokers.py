"""Which broker tests speak to: the embedded one, unless the run chose another kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class _Kind:
    make: MakeBroker = EmbeddedBroker


def use_brokers(make: MakeBroker) -> None:
    """Choose the kind of broker for all tests of this process."""
    _Kind.make = staticmethod(make)


def new_broker() -> BrokerProcess:
    """A broker of the chosen kind that is not started."""
    return _Kind.make()


def keeps_records() -> bool:
    """Whether brokers of the chosen kind have their records after a restart."""
    return _Kind.make is not EmbeddedBroker


@contextmanager
def kafka_broker() -> Iterator[BrokerProcess]:
    """A running broker of its own."""
    broker = new_broker()
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
