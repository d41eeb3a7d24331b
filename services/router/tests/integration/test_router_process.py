"""The router as a process: started, drained, killed and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import grpc

from router.failpoints import POINTS
from router.testing.catalogs import Offer
from router.testing.router_process import environment, router_process
from router.testing.scripted_provider import ScriptedProvider
from router.testing.scripts import speak
from router.testing.stack import UsageReader, write_files
from router.testing.waiting import eventually
from servicekit.testing import BrokerProcess


def check(more: Mapping[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "router", "--check"], env=dict(more), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_settings_are_checked_with_all_problems_together(tmp_path: Path) -> None:
    write_files(tmp_path, [Offer("a")])
    assert check(environment(tmp_path, "127.0.0.1:9092")) == (0, "ok\n")
    code, text = check({"ROUTER_TIMEOUTS_STALL": "30", "ROUTER_SPOOL_CAPACITY_BYTES": "lots"})
    assert code == 2
    for name in ("ROUTER_TIMEOUTS_STALL", "ROUTER_SPOOL_CAPACITY_BYTES", "ROUTER_SPOOL_DIR", "ROUTER_CATALOG_PATHS"):
        assert name in text


async def test_sigterm_in_mid_stream_lets_the_answer_end(tmp_path: Path, broker: BrokerProcess) -> None:
    async with ScriptedProvider(speak(["word "] * 40, gap=0.02)) as provider:
        write_files(tmp_path, [Offer("a", url=provider.url)])
        async with router_process(tmp_path, broker.bootstrap) as (process, router):
            request = router.request(stream=True)
            call = aiter(router.stub.Complete(request, timeout=20))
            responses = [await anext(call)]
            process.signal(signal.SIGTERM)
            responses += [response async for response in call]
            assert responses[-1].HasField("outcome")
            assert "".join(delta.content for each in responses for delta in each.deltas) == "word " * 40
            assert await process.end() == 0
        reader = UsageReader(broker.bootstrap)
        await reader.read_until(request.generation_id)


async def test_kill_9_loses_no_generation_that_a_caller_saw_end(tmp_path: Path, broker: BrokerProcess) -> None:
    finished: set[str] = set()
    async with ScriptedProvider(speak(["Hi", " there"])) as provider:
        write_files(tmp_path, [Offer("a", url=provider.url)])
        async with router_process(tmp_path, broker.bootstrap) as (process, router):

            async def load() -> None:
                with suppress(grpc.aio.AioRpcError):
                    while True:
                        done = await router.complete(stream=True)
                        if done.responses and done.responses[-1].HasField("outcome"):
                            finished.add(done.generation_id)

            async with asyncio.TaskGroup() as tasks:
                for _ in range(8):
                    tasks.create_task(load())
                await eventually(lambda: len(finished) >= 200)
                process.signal(signal.SIGKILL)
        assert len(finished) >= 200
        async with router_process(tmp_path, broker.bootstrap) as (_, router):
            finished.add((await router.complete()).generation_id)
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(*finished, seconds=30)
    for generation_id in finished:
        assert len({event.SerializeToString() for event in reader.events[generation_id]}) == 1


async def test_b04_a_router_killed_at_every_failpoint_loses_no_generation_that_a_caller_saw_end(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    """Each process but the last is killed at a point of its own, and publishes what those before it left."""
    finished: set[str] = set()
    async with ScriptedProvider(speak(["Hi", " there"])) as provider:
        write_files(tmp_path, [Offer("a", url=provider.url)])
        for point in POINTS:
            words = {"ROUTER_FAILPOINTS": f"{point}:2"}
            async with router_process(tmp_path, broker.bootstrap, **words) as (process, router):
                with suppress(grpc.aio.AioRpcError):
                    while True:
                        done = await router.complete(stream=True)
                        if done.responses and done.responses[-1].HasField("outcome"):
                            finished.add(done.generation_id)
                assert await process.end() == -signal.SIGKILL, point
        async with router_process(tmp_path, broker.bootstrap) as (_, router):
            finished.add((await router.complete()).generation_id)
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(*finished, seconds=30)
    for generation_id in finished:
        assert len({event.SerializeToString() for event in reader.events[generation_id]}) == 1
