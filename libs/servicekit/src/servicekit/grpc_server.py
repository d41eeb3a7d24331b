"""A grpc.aio server as a component: health, reflection, observation, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from servicekit.grpc_observation import CallObserver, ObservedServer
from servicekit.lifecycle import Component, Runtime
from servicekit.logs import get_logger
from servicekit.readiness import Phase
from servicekit.settings import GrpcServerSettings

_log = get_logger(__name__)

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""In both directions; images travel in messages."""

_CONNECTION_AGE_GRACE_MS: Final = 600_000  # longer than any stream, so that an old connection's streams finish
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class GrpcServer(Component):
    """Serves what `register` registers, with the standard health service and reflection beside it."""

    def __init__(
        self,
        settings: GrpcServerSettings,
        runtime: Runtime,
        register: Callable[[grpc.aio.Server], Sequence[str]],
        *,
        name: str = "grpc-server",
    ) -> None:
        """Make a server.

        Args:
            settings: where to listen.
            runtime: of the service.
            register: adds servicers to the server and returns their full service names
                (`DESCRIPTOR.services_by_name[…].full_name`).
            name: of the component.
        """
        self.name = name
        self._settings = settings
        self._runtime = runtime
        self._register = register
        self._observer = CallObserver(runtime)
        self._health = health.aio.HealthServicer()
        self._names: list[str] = []
        self._server: grpc.aio.Server | None = None
        self._leaving = asyncio.Event()
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before the start."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        server = grpc.aio.server(options=_options(self._settings))
        self._names = [*self._register(ObservedServer(server, self._observer))]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self._port = server.add_insecure_port(address)
        except RuntimeError:
            raise OSError(f"cannot listen on {address}: the port is taken or not allowed") from None
        for name in ("", *self._names):
            await self._health.set(name, _SERVING)
        self._runtime.readiness.on_phase(self._on_phase)
        self._server = server
        await server.start()
        _log.info("grpc.listening", host=self._settings.host, port=self._port, services=self._names)

    async def run(self) -> None:
        """Tell clients that watch the health service as soon as the drain begins."""
        await self._leaving.wait()
        for name in ("", *self._names):
            await self._health.set(name, _NOT_SERVING)

    async def stop(self, grace: timedelta) -> None:
        """Refuse new RPCs; give those in flight `grace`, then cancel them."""
        self._leaving.set()
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace.total_seconds())

    def in_flight(self) -> int:
        """RPCs that are being served, health and reflection left out."""
        return self._observer.in_flight

    def _on_phase(self, phase: Phase) -> None:
        if phase is Phase.DRAINING:
            self._leaving.set()


def _options(settings: GrpcServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A second process on the port is a mistake that must show, not share the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # What our clients do (grpc_client) must not look like abuse.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_connection_age_ms", int(settings.max_connection_age.total_seconds() * 1000)),
        ("grpc.max_connection_age_grace_ms", _CONNECTION_AGE_GRACE_MS),
    ]
