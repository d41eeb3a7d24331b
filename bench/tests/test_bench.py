"""The bench measures what it says: its provider answers as asked, its client notices what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import uvloop

from contracts.catalog import parse_catalog
from turnpike_bench import cancellation, choice, leases, settlement, system
from turnpike_bench.__main__ import LOADS
from turnpike_bench.figures import AddedLatency, Results, Throughput, percentile
from turnpike_bench.load import chat_call, run_load
from turnpike_bench.postgres import running_postgres
from turnpike_bench.upstream import WORD, script_of, serve


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    server = await serve(0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def test_unary_answer_is_a_completion(base_url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{base_url}/chat/completions", json={"model": "unary"}) as answer:
            body = await answer.json()
    assert body["choices"][0]["message"]["content"] == WORD * 9
    assert body["usage"] == {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}


@pytest.mark.parametrize("model", ["burst-100", "paced-100-1"])
async def test_stream_has_every_chunk_the_usage_and_an_end(base_url: str, model: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{base_url}/chat/completions", json={"model": model, "stream": True}) as answer:
            lines = [line async for line in answer.content if line.startswith(b"data: ")]
    assert sum(WORD.encode() in line for line in lines) == 100
    assert b'"completion_tokens":100' in lines[-2]
    assert lines[-1] == b"data: [DONE]\n"


@pytest.mark.parametrize(("model", "events"), [("unary", 0), ("burst-100", 100), ("paced-10-1", 10)])
async def test_load_sends_exactly_what_it_is_told(base_url: str, model: str, events: int) -> None:
    outcome = await run_load(chat_call(base_url, model, events=events), requests=50, concurrency=4)
    assert outcome.faults == []
    assert len(outcome.totals_s) == len(outcome.first_bytes_s) == 50


async def test_wrong_status_is_a_fault(base_url: str) -> None:
    outcome = await run_load(chat_call(f"{base_url}/nowhere/else", "unary"), requests=3, concurrency=1)
    assert outcome.faults == []
    call = chat_call(base_url, "unary")
    wrong = type(call)(url=f"{base_url}/models", body=call.body, headers={}, events=0)
    outcome = await run_load(wrong, requests=3, concurrency=1)
    assert len(outcome.faults) == 3
    assert "404" in outcome.faults[0]


async def test_short_stream_is_a_fault(base_url: str) -> None:
    outcome = await run_load(chat_call(base_url, "burst-5", events=100), requests=2, concurrency=1)
    assert outcome.faults == ["a stream with fewer events than the provider sent"] * 2


async def test_closed_connection_is_a_fault() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        call = chat_call(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "unary")
        outcome = await run_load(call, requests=5, concurrency=2)
    assert len(outcome.faults) == 5


@pytest.mark.parametrize("model", ["unknown", "burst", "paced-1", "burst-x"])
def test_unknown_script_is_refused(model: str) -> None:
    with pytest.raises(ValueError):
        script_of(model)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_percentile_is_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == value
    assert percentile([], share) == 0.0


def test_processes_run_on_uvloop() -> None:
    with system.running_upstream() as (url, pid):
        outcome = uvloop.run(run_load(chat_call(url, "burst-3", events=3), requests=20, concurrency=2))
        assert (len(outcome.totals_s), outcome.faults) == (20, [])
        assert url.startswith("http://127.0.0.1:")
        assert set(system.cpu_seconds({"upstream": pid})) == {"upstream"}
        assert system.memory_mib({"upstream": pid})["upstream"] > 1


def test_table_and_record_hold_the_sums() -> None:
    load = Throughput("unary", 100, 4, 1000.0, 1.0, 2.0, {"edge": 100.0, "router": 50.0, "upstream": 10.0}, 0)
    one = AddedLatency("unary", 100, 0.25, 0.5, 1.25, 3.5)
    results = Results({"cpu": "x"}, [load], [one], {"edge": 80.0}, {"edge": 90.0}, [1.5, 4.0])
    record = results.as_json()
    assert isinstance(record["throughput"], list)
    assert record["throughput"][0]["turnpike_cpu_us"] == 150.0
    table = results.as_table()
    assert " 150" in table
    assert "1.00 / 3.00" in table
    assert "p50 1.5, p99 4.0 ms" in table


async def test_a_stream_that_is_left_is_seen_to_be_cut(base_url: str) -> None:
    call = chat_call(base_url, "paced-1000-10", events=1)
    assert len(await cancellation.measure(call, base_url, 3)) == 3


def test_choices_are_measured_in_catalogues_of_the_size_that_is_said() -> None:
    cost = choice.measure(3, 2, rounds=20)
    assert (cost.models, cost.endpoints) == (3, 6)
    assert cost.choice_us > 0
    assert f"{cost.choice_us:.1f}" in choice.table([cost])


def test_the_catalogue_of_the_bench_is_valid(tmp_path: Path) -> None:
    folder = system.write_catalog(tmp_path, "http://127.0.0.1:9/v1")
    catalog = parse_catalog([(str(path), path.read_text()) for path in folder.glob("*.yaml")])
    assert {name for _, name, *_ in LOADS} == set(catalog.models)


def test_settlement_is_measured_on_events_that_are_settled() -> None:
    with running_postgres() as server:
        cost = asyncio.run(settlement.measure(server, orgs=3, batch=20, events=60))
    assert (cost.orgs, cost.batch, cost.events) == (3, 20, 60)
    assert cost.accounts_us > 0
    assert cost.per_core == pytest.approx(1e6 / cost.accounts_us)
    assert f"{cost.accounts_us:.1f}" in settlement.table([cost])


def test_lending_is_measured_on_grants_that_are_held() -> None:
    with running_postgres() as server:
        costs = leases.run(server, 60)
    assert [(cost.edges, cost.grants) for cost in costs] == [(50, 60)] * 3
    assert all(cost.per_s > 0 and 1 <= cost.together <= 60 for cost in costs)
    assert f"{costs[0].accounts_us:.1f}" in leases.table(costs)
