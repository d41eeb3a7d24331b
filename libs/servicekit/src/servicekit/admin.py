"""The admin port: liveness, readiness and metrics, apart from the port that serves the work."""

from __future__ import annotations

from aiohttp import web

from servicekit.lifecycle import Readiness
from servicekit.liveness import Liveness
from servicekit.logs import get_logger
from servicekit.settings import AdminSettings
from servicekit.telemetry import Telemetry

_log = get_logger(__name__)


class AdminServer:
    """`/healthz/live`, `/healthz/ready` and `/metrics` on a port of its own. It stays up during the drain."""

    def __init__(self, settings: AdminSettings, readiness: Readiness, liveness: Liveness, telemetry: Telemetry) -> None:
        self._settings = settings
        self._readiness = readiness
        self._liveness = liveness
        self._telemetry = telemetry
        self._runner: web.AppRunner | None = None
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
        app = web.Application()
        app.router.add_get("/healthz/live", self._live)
        app.router.add_get("/healthz/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, self._settings.host, self._settings.port)
        await site.start()
        self._port = int(runner.addresses[0][1])
        _log.info("admin.listening", host=self._settings.host, port=self._port)

    async def stop(self) -> None:
        """Stop listening; also after a start that failed."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        # That this runs at all shows that the event loop makes progress; the checks are about other loops.
        results = self._liveness.results()
        live = all(results.values())
        return web.json_response({"live": live, "checks": results}, status=200 if live else 503)

    async def _ready(self, _: web.Request) -> web.Response:
        results = self._readiness.results()
        ready = all(results.values())
        body = {"ready": ready, "phase": self._readiness.phase, "checks": results}
        return web.json_response(body, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        body, content_type = self._telemetry.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})
