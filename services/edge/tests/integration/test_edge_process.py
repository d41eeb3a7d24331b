"""The edge as a process: starts, drains, snapshots."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from edge.testing.router import Stall
from edge.testing.stack import EdgeProcess, Neighbours, Publisher, chat_body, edge_process, neighbours
from servicekit.testing import BrokerProcess, kafka_broker

PATH = "/api/v1/chat/completions"


@pytest.fixture
async def served() -> AsyncIterator[Neighbours]:
    async with neighbours(Neighbours()) as around:
        yield around


async def publish_caller(around: Neighbours, bootstrap: str) -> str:
    """Publish an organisation and a key, and return the whole key."""
    org = around.accounts.add_org()
    key, record = around.accounts.add_key(org.org_id)
    await Publisher(bootstrap).publish(org, record)
    return key


async def url_of(process: EdgeProcess) -> str:
    started = await process.logged("http.listening")
    await process.logged("service.started")
    return f"http://127.0.0.1:{started['port']}"


def record_org(served: Neighbours) -> str:
    """The organisation of the caller."""
    (org_id,) = served.accounts.orgs
    return org_id


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_process_serves_and_stops(tmp_path: Path, broker: BrokerProcess, served: Neighbours) -> None:
    key = await publish_caller(served, broker.bootstrap)
    async with edge_process(tmp_path, broker.bootstrap, served.targets) as process, aiohttp.ClientSession() as http:
        url = await url_of(process)
        async with http.post(url + PATH, json=chat_body(), headers=bearer(key)) as response:
            assert response.status == 200
        lent = served.leases.held(record_org(served))
        assert lent > 0
        process.terminate()
        assert await process.wait() == 0
    # What it had borrowed is nobody's any more.
    assert served.leases.held(record_org(served)) == 0
    (finished,) = process.events("request.finished")
    assert finished["status"] == 200
    assert finished["model"] == "acme/one"
    assert key not in json.dumps(list(process.events("request.finished")))


async def test_a_drain_lets_requests_finish_and_takes_no_new_ones(
    tmp_path: Path, broker: BrokerProcess, served: Neighbours
) -> None:
    key = await publish_caller(served, broker.bootstrap)
    stall = Stall("Hel", "lo")
    served.router.script = stall
    async with edge_process(tmp_path, broker.bootstrap, served.targets) as process, aiohttp.ClientSession() as http:
        url = await url_of(process)
        async with http.post(url + PATH, json=chat_body(stream=True), headers=bearer(key)) as response:
            await stall.began.wait()
            process.terminate()
            await process.logged("service.stopping")
            async with asyncio.timeout(20):
                while True:
                    try:
                        async with http.get(url + "/api/v1/models", headers={"Connection": "close"}):
                            pass
                    except aiohttp.ClientConnectorError:
                        break
            stall.go_on.set()
            body = await response.read()
        assert body.endswith(b"data: [DONE]\n\n")
        assert await process.wait() == 0
    assert not stall.cancelled.is_set()
    assert process.events("service.stopped")[0]["abandoned"] == 0


async def test_a_stream_that_outlasts_the_drain_ends_with_one_error_event(
    tmp_path: Path, broker: BrokerProcess, served: Neighbours
) -> None:
    key = await publish_caller(served, broker.bootstrap)
    stall = Stall("Hel", "lo")
    served.router.script = stall
    short = {"EDGE_DRAIN_GRACE": "1s"}
    async with (
        edge_process(tmp_path, broker.bootstrap, served.targets, **short) as process,
        aiohttp.ClientSession() as http,
    ):
        url = await url_of(process)
        async with http.post(url + PATH, json=chat_body(stream=True), headers=bearer(key)) as response:
            await stall.began.wait()
            process.terminate()
            body = (await response.read()).decode()
        assert await process.wait() == 0
        async with asyncio.timeout(20):
            await stall.cancelled.wait()
    events = [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: ")]
    failed = [event for event in events if "error" in event]
    assert failed == events[-1:]
    assert failed[0]["error"]["code"] == 503
    assert "[DONE]" not in body


async def test_a_stream_without_a_token_gets_a_503_when_the_drain_is_over(
    tmp_path: Path, broker: BrokerProcess, served: Neighbours
) -> None:
    key = await publish_caller(served, broker.bootstrap)
    stall = Stall()
    served.router.script = stall
    late = {"EDGE_DRAIN_GRACE": "1s", "EDGE_STREAM_KEEP_ALIVE": "1h"}
    async with (
        edge_process(tmp_path, broker.bootstrap, served.targets, **late) as process,
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as tasks,
    ):
        url = await url_of(process)
        asking = tasks.create_task(http.post(url + PATH, json=chat_body(stream=True), headers=bearer(key)).__aenter__())
        await stall.began.wait()
        process.terminate()
        response = await asking
        assert response.status == 503
        assert (await response.json())["error"]["code"] == 503
        response.release()
        assert await process.wait() == 0


async def test_a6_a_start_without_broker_and_accounts_uses_the_snapshot(tmp_path: Path, served: Neighbours) -> None:
    with kafka_broker() as broker:
        key = await publish_caller(served, broker.bootstrap)
        async with edge_process(tmp_path, broker.bootstrap, served.targets) as first:
            await url_of(first)
            first.terminate()
            assert await first.wait() == 0
        broker.kill()
        (tmp_path / "edge.log").unlink()
        served.accounts.down = served.leases.down = True
        async with (
            edge_process(tmp_path, broker.bootstrap, served.targets) as second,
            aiohttp.ClientSession() as http,
        ):
            url = await url_of(second)
            async with http.get(url + "/api/v1/models/user", headers=bearer(key)) as response:
                assert response.status == 200
            # The key is known; of credit nothing is lent to this process, which says nothing about the credit.
            async with http.post(url + PATH, json=chat_body(), headers=bearer(key)) as response:
                assert response.status == 503
            served.leases.down = False
            async with asyncio.timeout(30):
                while True:
                    async with http.post(url + PATH, json=chat_body(), headers=bearer(key)) as response:
                        if response.status == 200:
                            break
                    await asyncio.sleep(0.1)
            second.terminate()
            assert await second.wait() == 0
    for kept in (tmp_path / "state").rglob("*"):
        assert kept.stat().st_mode & 0o077 == 0
        assert kept.is_dir() or key.encode() not in kept.read_bytes()


async def test_without_broker_and_snapshot_it_is_not_ready_and_can_be_stopped(
    tmp_path: Path, served: Neighbours
) -> None:
    async with edge_process(tmp_path, "127.0.0.1:1", served.targets) as process, aiohttp.ClientSession() as http:
        admin = await process.logged("admin.listening")
        await process.logged("table.waiting")
        async with http.get(f"http://127.0.0.1:{admin['port']}/healthz/ready") as response:
            assert response.status == 503
        assert not process.events("http.listening")
        process.terminate()
        assert await process.wait() == 0


async def test_a_taken_port_is_one_clear_line(tmp_path: Path, broker: BrokerProcess, served: Neighbours) -> None:
    listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    variables = {"EDGE_HTTP_PORT": str(port)}
    async with edge_process(tmp_path, broker.bootstrap, served.targets, **variables) as process:
        assert await process.wait() == 1
    (failed,) = process.events("component.start_failed")
    assert failed["component"] == "http-server"
    assert str(port) in failed["error"]
    listener.close()
    await listener.wait_closed()
