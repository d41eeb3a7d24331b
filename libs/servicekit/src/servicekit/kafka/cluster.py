"""Which cluster is at the bootstrap addresses now.

A cluster that was replaced (an embedded broker that lost its memory, a restored backup) has another id: offsets and
producer states of the old one mean nothing there. aiokafka does not tell the id, and it never asks the bootstrap addresses
again once it knows brokers, so the cluster is watched through a connection of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.metadata import MetadataRequest

from servicekit.clock import Clock
from servicekit.kafka.client_errors import CLIENT_ERRORS
from servicekit.kafka.records import BusUnavailableError
from servicekit.logs import get_logger
from servicekit.settings import KafkaSettings

_log = get_logger(__name__)

_ANSWER_SECONDS: Final = 3.0


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """What every connection needs; timeouts are in milliseconds."""
    options: dict[str, Any] = {
        "request_timeout_ms": int(settings.request_timeout.total_seconds() * 1000),
        "security_protocol": settings.security,
    }
    if settings.security.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password.get_secret_value() if settings.password else None
    if settings.security.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    return options


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """What every aiokafka client needs besides what is its own."""
    # A topic that was made after its reader started, and a new partition, are found by looking again; aiokafka's own five
    # minutes would be a stall.
    return connection_options(settings) | {"metadata_max_age_ms": int(settings.stall_timeout.total_seconds() * 1000)}


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    context: ssl.SSLContext = create_ssl_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    return context


@dataclass(frozen=True)
class ClusterView:
    """A cluster as a bootstrap address shows it."""

    cluster_id: str
    brokers: frozenset[tuple[str, int]]

    def replaces(self, older: ClusterView) -> bool:
        """Whether clients of `older` are lost: another cluster, or the same one where no broker is where it was."""
        return self.cluster_id != older.cluster_id or self.brokers.isdisjoint(older.brokers)


async def fetch_cluster_id(settings: KafkaSettings, client_id: str = "cluster-watch") -> str:
    """Ask the first bootstrap address that answers for the id of its cluster.

    Raises:
        BusUnavailableError: none answers within 3 s each.
    """
    watch = ClusterWatch(settings, client_id)
    try:
        return (await watch.view()).cluster_id
    finally:
        watch.close()


class ClusterWatch:
    """Asks for the cluster, over one connection that is kept while it works."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._connection: AIOKafkaConnection | None = None

    async def view(self) -> ClusterView:
        """The cluster that is there now.

        Raises:
            BusUnavailableError: no address answers.
        """
        if self._connection is not None and self._connection.connected():
            # A broker that is gone is not the end: the other addresses are asked at once.
            with contextlib.suppress(BusUnavailableError):
                return await self._ask(self._connection)
        return await self._connect()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connect(self) -> ClusterView:
        self.close()
        options = connection_options(self._settings)
        for host, port, _ in collect_hosts(self._settings.brokers):
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self._connection = await create_conn(host, port, client_id=self._client_id, **options)
                return await self._ask(self._connection)
            except (OSError, KafkaError, BusUnavailableError, TimeoutError, EOFError):
                self.close()
        raise BusUnavailableError(f"no answer from {self._settings.brokers}")

    async def _ask(self, connection: AIOKafkaConnection) -> ClusterView:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                # An empty list asks for no topics; the answer has the cluster's id from version 2 on.
                answer = await connection.send(MetadataRequest([]))
        except (*CLIENT_ERRORS, EOFError) as error:
            raise BusUnavailableError(str(error) or type(error).__name__) from error
        cluster_id = getattr(answer, "cluster_id", None)
        if not cluster_id or not answer.brokers:
            raise BusUnavailableError("the broker does not tell its cluster")
        # A broker is (node id, host, port, rack).
        return ClusterView(str(cluster_id), frozenset((broker[1], broker[2]) for broker in answer.brokers))


class ClusterState:
    """The cluster as last seen, kept up to date while `watch` runs."""

    def __init__(self, settings: KafkaSettings, clock: Clock, client_id: str) -> None:
        self._settings = settings
        self._clock = clock
        self._client_id = client_id
        self._watch = ClusterWatch(settings, client_id)
        self._changed = asyncio.Event()
        self.view: ClusterView | None = None
        self.reachable: bool | None = None
        """Whether the last question was answered; None before the first."""
        self.reachable_since: float | None = None
        """On the monotonic clock; None while it is not reachable."""

    async def watch(self) -> None:
        """Ask again and again. Runs until cancelled."""
        try:
            while True:
                await self.refresh()
                await self._clock.sleep(self._settings.watch_interval.total_seconds())
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection, where `refresh` was used without `watch`."""
        self._watch.close()

    async def refresh(self) -> ClusterView | None:
        """Ask once; None if there is no answer."""
        try:
            view = await self._watch.view()
        except BusUnavailableError as error:
            if self.reachable is not False:
                _log.warning("cluster.lost", client=self._client_id, error=str(error))
            self._set(self.view, reachable=False)
            return None
        if self.reachable is not True or view != self.view:
            _log.info("cluster.found", client=self._client_id, cluster=view.cluster_id)
        self._set(view, reachable=True)
        return view

    async def wait_reachable(self) -> ClusterView:
        """The cluster, as soon as there is one."""
        while self.view is None or not self.reachable:
            await self.wait_change()
        return self.view

    async def wait_replaced(self, view: ClusterView) -> None:
        """Return when the clients of `view` are lost."""
        while self.view is None or not self.view.replaces(view):
            await self.wait_change()

    async def wait_change(self) -> None:
        """Return at the next change of `view` or `reachable`."""
        await self._changed.wait()

    def _set(self, view: ClusterView | None, *, reachable: bool) -> None:
        if view == self.view and reachable == self.reachable:
            return
        if reachable is not self.reachable:
            self.reachable_since = self._clock.monotonic() if reachable else None
        self.view, self.reachable = view, reachable
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
