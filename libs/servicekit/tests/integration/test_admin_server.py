from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from servicekit.admin import AdminServer
from servicekit.liveness import Liveness
from servicekit.metrics import CounterSpec, GaugeSpec, HistogramSpec
from servicekit.readiness import Phase, Readiness
from servicekit.settings import AdminSettings, TelemetrySettings
from servicekit.telemetry import Telemetry


class Admin:
    def __init__(self, server: AdminServer, session: aiohttp.ClientSession) -> None:
        self._server, self._session = server, session

    async def json(self, path: str) -> tuple[int, Any]:
        async with self._session.get(f"http://127.0.0.1:{self._server.port}{path}") as answer:
            return answer.status, await answer.json()

    async def text(self, path: str) -> tuple[str, str]:
        async with self._session.get(f"http://127.0.0.1:{self._server.port}{path}") as answer:
            assert answer.status == 200
            return await answer.text(), answer.headers["Content-Type"]


@asynccontextmanager
async def serving(readiness: Readiness, telemetry: Telemetry, liveness: Liveness | None = None) -> AsyncIterator[Admin]:
    server = AdminServer(AdminSettings(), readiness, liveness or Liveness(), telemetry)
    assert server.port == 0
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield Admin(server, session)
    await server.stop()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


@pytest.fixture
async def telemetry() -> AsyncIterator[Telemetry]:
    made = Telemetry("shop", "shop-1", TelemetrySettings())
    yield made
    await made.shutdown()


async def test_ready_only_while_running_and_when_every_check_passes(telemetry: Telemetry) -> None:
    readiness, connected = Readiness(), False
    readiness.add("store", lambda: connected)
    async with serving(readiness, telemetry) as admin:
        assert await admin.json("/healthz/ready") == (
            503,
            {"ready": False, "phase": "starting", "checks": {"phase": False, "store": False}},
        )
        readiness.enter(Phase.RUNNING)
        assert (await admin.json("/healthz/ready"))[0] == 503
        connected = True
        assert await admin.json("/healthz/ready") == (
            200,
            {"ready": True, "phase": "running", "checks": {"phase": True, "store": True}},
        )
        readiness.enter(Phase.DRAINING)
        assert (await admin.json("/healthz/ready"))[0] == 503


async def test_liveness_depends_on_its_own_checks_and_on_nothing_that_readiness_asks(telemetry: Telemetry) -> None:
    readiness = Readiness()
    readiness.add("store", lambda: bool(1 / 0))
    async with serving(readiness, telemetry) as admin:
        for phase in Phase:
            readiness.enter(phase)
            assert await admin.json("/healthz/live") == (200, {"live": True, "checks": {}})


async def test_a_check_that_fails_makes_liveness_fail(telemetry: Telemetry) -> None:
    liveness, progress = Liveness(), True
    liveness.add("consumer", lambda: progress)
    with pytest.raises(ValueError, match="consumer"):
        liveness.add("consumer", lambda: True)
    async with serving(Readiness(), telemetry, liveness) as admin:
        assert await admin.json("/healthz/live") == (200, {"live": True, "checks": {"consumer": True}})
        progress = False
        assert await admin.json("/healthz/live") == (503, {"live": False, "checks": {"consumer": False}})


async def test_metrics_are_prometheus_text(telemetry: Telemetry) -> None:
    CounterSpec("shop.sales.count", "{sale}", "Sales.").create(telemetry.meter).add(3, {"item": 'te"a'})
    HistogramSpec("shop.queue.wait", "s", "Waits.", (1, 2)).create(telemetry.meter).record(1.5)
    GaugeSpec("shop.stock.items", "{item}", "Stock.").create(telemetry.meter, lambda: 7)
    async with serving(Readiness(), telemetry) as admin:
        text, content_type = await admin.text("/metrics")
    assert content_type.startswith("text/plain")
    lines = text.splitlines()
    assert "# HELP shop_sales_count_total Sales." in lines
    assert "# TYPE shop_sales_count_total counter" in lines
    (sales,) = [line for line in lines if line.startswith("shop_sales_count_total{")]
    assert r'item="te\"a"' in sales
    assert sales.endswith(" 3.0")
    assert any(line.startswith("shop_queue_wait_seconds_bucket{") and 'le="2"' in line for line in lines)
    assert any(line.startswith("shop_stock_items") and line.endswith(" 7.0") for line in lines)
    assert any(line.startswith("target_info{") and 'service_name="shop"' in line for line in lines)


async def test_a_taken_port_is_an_error_and_stop_cleans_up_after_it(telemetry: Telemetry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = AdminServer(AdminSettings(port=taken.getsockname()[1]), Readiness(), Liveness(), telemetry)
        with pytest.raises(OSError, match="in use"):
            await server.start()
        await server.stop()
