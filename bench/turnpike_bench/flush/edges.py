"""`python -m turnpike_bench.flush.edges`: edges without their HTTP, in one process: who calls, may they, and is there credit.

Each edge has its own key directory on Kafka, authenticator, rate limits and wallets, made as the edge's `app.py` makes them, and its own
connection to accounts. What a request would do at the router is a pause, after which its hold is charged.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

import grpc
import msgspec
import uvloop
from opentelemetry.metrics import NoOpMeter

from contracts import money
from dialects.chat import ChatRequest, decode_chat_request
from edge.adapters.accounts_client import GrpcKeyLookup
from edge.adapters.key_directory import KafkaKeyDirectory
from edge.adapters.lease_client import GrpcLeaseLender
from edge.admission import EASILY, Admission
from edge.api.http.errors import problem_of
from edge.authentication import Authenticator, Trust
from edge.catalog import Catalog, catalog_from_proto
from edge.domain.errors import EdgeError
from edge.domain.hold import Demand
from edge.domain.principal import Org
from edge.domain.prompt_size import estimate_prompt_tokens
from edge.domain.quote import quote_of
from edge.domain.rate_limits import Claim, RateLimits
from edge.domain.request_rate import RequestRate
from edge.lent_limits import LentLimits
from edge.request_rules import RequestRules
from edge.settings import CreditSettings, LeaseSettings
from edge.testing.router import model
from edge.wallets import Wallets
from edge.window_wallets import WindowWallets
from servicekit.clock import SystemClock
from servicekit.garbage import collect_rarely
from servicekit.grpc_client import open_channel
from servicekit.lifecycle import Component
from servicekit.logs import configure_logs
from servicekit.settings import KafkaSettings, LogSettings
from servicekit.testing import make_runtime
from turnpike_bench.admission import ENDPOINTS, REQUEST

_CALL_S: Final = 3.0
_LOOKUPS: Final = 4
_COST: Final = 50_000
_TICK_S: Final = 0.002
_START_LIMIT_S: Final = 120.0


class Plan(msgspec.Struct, frozen=True):
    """What a process does.

    Attributes:
        accounts: address of it.
        brokers: of Kafka.
        first: number of the first edge.
        edges: how many there are here.
        secrets: keys that call, all with the same share.
        pepper: that digests of keys are made with.
        rate: requests a second, at all edges here together.
        generation_s: how long a hold is held.
        seed: of the arrivals.
    """

    accounts: str
    brokers: str
    first: int
    edges: int
    secrets: list[str]
    pepper: str
    rate: float
    generation_s: float
    seed: int


class Schedule(msgspec.Struct, frozen=True):
    """When: seconds of the wall clock. `flush_at` 0 is never."""

    begin_at: float
    flush_at: float
    end_at: float


class Answered(msgspec.Struct):
    """What came of the requests that were to arrive in one second: milliseconds from then, and refusals by status."""

    times_ms: list[float]
    refused: dict[str, int]


@dataclass
class _Parts:
    """What an edge loses when it is flushed."""

    directory: KafkaKeyDirectory
    authenticator: Authenticator
    wallets: Wallets
    rate: RequestRate
    rules: RequestRules
    admission: Admission
    lending: list[asyncio.Task[None]]
    reading: list[asyncio.Task[None]]


class BenchEdge:
    """One edge."""

    def __init__(self, name: str, plan: Plan, to_accounts: grpc.aio.Channel, group: asyncio.TaskGroup, folder: Path):
        self._name, self._plan, self._to_accounts = name, plan, to_accounts
        self._group, self._folder = group, folder
        self._clock, self._random = SystemClock(), Random(name)
        self._epoch = 0
        row = model()
        for number in range(1, ENDPOINTS):
            copy = row.endpoints.add()
            copy.CopyFrom(row.endpoints[0])
            copy.price.prompt_pico_usd += number
        self._catalog: Catalog = catalog_from_proto("1", [row])
        self._request: ChatRequest = decode_chat_request(REQUEST)
        self._parts = self._new()

    @property
    def known(self) -> int:
        """Keys that were read off Kafka."""
        return len(self._parts.directory.tables[0])  # type: ignore[arg-type]  # the first one is a table

    @property
    def is_current(self) -> bool:
        """Whether everything was read that was there when reading began."""
        return self._parts.directory.age_s() < Trust().fresh_s

    def flush(self) -> None:
        """Lose everything, on disk too, as a process that is killed and starts again somewhere else. Nothing is given back.

        Only requests that wait for a lease at this moment still get it, so that all of them are answered.
        """
        before, self._parts = self._parts, self._new()
        for task in before.reading:
            task.cancel()
        for task in before.lending:
            asyncio.get_running_loop().call_later(2 * _CALL_S, task.cancel)

    def kill(self) -> None:
        """End without a word to anybody."""
        for task in (*self._parts.lending, *self._parts.reading):
            task.cancel()

    async def admit(self, authorization: str) -> None:
        """Do with a request what an edge does before it asks a router; its end is charged later.

        Raises:
            EdgeError: it is refused.
        """
        parts, now_ms = self._parts, int(time.time() * 1_000)
        principal = await parts.authenticator.authenticate(authorization, now_ms)
        parts.rate.count(principal.key.key_id, now_ms)
        ruled = await parts.rules.apply(principal, self._request, now_ms)
        body = ruled.request.body
        slugs = [body.model or ""]
        demand = Demand(estimate_prompt_tokens(body), body.output_limit, body.n or 1)
        offers = self._catalog.offers_for(slugs)
        quote = quote_of(offers, demand, CreditSettings().default_output_tokens, principal.org.balance // EASILY)
        claim = Claim(
            self._catalog.names_of(slugs), demand.prompt_tokens + quote.usual.output_tokens, quote.usual.amount
        )
        reserved = await parts.rules.reserve(ruled, claim, now_ms)
        try:
            admitted = await parts.admission.admit(principal, quote, now_ms, has_budget=ruled.has_budget)
        except BaseException:
            reserved.close()
            raise

        def end() -> None:
            admitted.ticket.charge(_COST)
            reserved.settle(100, _COST)
            reserved.close()

        asyncio.get_running_loop().call_later(self._plan.generation_s, end)

    def _new(self) -> _Parts:
        self._epoch += 1
        clock, random, meter = self._clock, self._random, NoOpMeter("bench")
        leases = LeaseSettings()
        wallets = Wallets(
            GrpcLeaseLender(self._to_accounts, timedelta(seconds=_CALL_S), self._name, self._epoch),
            clock,
            meter,
            random,
            cover=leases.cover,
            least=leases.least_cents * money.NANO_PER_USD // 100,
            patience=timedelta(seconds=_CALL_S),
        )

        windows = WindowWallets(
            GrpcLeaseLender(self._to_accounts, leases.patience, self._name, self._epoch),
            clock,
            meter,
            random,
            unused=leases.unused,
            patience=leases.patience,
            edges=self._plan.edges,
        )

        def on_key(digest: str) -> None:
            authenticator.forget(digest)

        def on_org(org: Org) -> None:
            wallets.heard(org)

        trust = Trust()
        directory = KafkaKeyDirectory(
            KafkaSettings(brokers=self._plan.brokers),
            clock,
            meter,
            folder=self._folder / f"{self._name}-{self._epoch}",
            max_snapshot_age=timedelta(seconds=trust.stale_s),
            on_key=on_key,
            on_org=on_org,
        )
        authenticator = Authenticator(
            directory,
            GrpcKeyLookup(self._to_accounts, timedelta(seconds=trust.timeout_s), clock, _LOOKUPS),
            clock=clock,
            random=random,
            pepper=self._plan.pepper.encode(),
            trust=trust,
        )
        rates = RateLimits(self._plan.edges)
        return _Parts(
            directory=directory,
            authenticator=authenticator,
            wallets=wallets,
            rate=RequestRate(rates, 10**9),
            rules=RequestRules(directory, LentLimits(rates, windows), clock),
            admission=Admission(wallets, directory),
            lending=[self._group.create_task(_live(each)) for each in (wallets, windows)],
            reading=[self._group.create_task(_live(table)) for table in directory.tables],
        )


async def _live(component: Component) -> None:
    await component.start()
    await component.run()


@asynccontextmanager
async def running_edges(plan: Plan) -> AsyncIterator[list[BenchEdge]]:
    """Run the edges of a plan; killed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="turnpike-bench-edges-") as folder:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            edges = []
            for number in range(plan.first, plan.first + plan.edges):
                channel = await stack.enter_async_context(open_channel(plan.accounts, make_runtime()))
                edges.append(BenchEdge(f"edge-{number}", plan, channel, group, Path(folder)))
            try:
                yield edges
            finally:
                for edge in edges:
                    edge.kill()


async def load(edges: Sequence[BenchEdge], plan: Plan, schedule: Schedule) -> list[Answered]:
    """Let requests arrive whatever becomes of those before them, at moments of a Poisson process. Returns what came of each second."""
    random = Random(plan.seed)
    seconds = [Answered([], {}) for _ in range(int(schedule.end_at - schedule.begin_at))]
    refused: list[Counter[str]] = [Counter() for _ in seconds]
    headers = [f"Bearer {secret}" for secret in plan.secrets]
    flushed = not schedule.flush_at

    async def arrive(due: float) -> None:
        second = int(due - schedule.begin_at)
        try:
            await random.choice(edges).admit(random.choice(headers))
        except EdgeError as error:
            refused[second][str(problem_of(error).status)] += 1
        seconds[second].times_ms.append((time.time() - due) * 1_000)

    due = schedule.begin_at
    async with asyncio.TaskGroup() as group:
        while True:
            now = time.time()
            if not flushed and now >= schedule.flush_at:
                flushed = True
                for edge in edges:
                    edge.flush()
            while due <= now:
                if due >= schedule.begin_at + len(seconds):
                    break
                group.create_task(arrive(due))
                due += random.expovariate(plan.rate)
            if due >= schedule.begin_at + len(seconds):
                break
            await asyncio.sleep(_TICK_S)
    for each, counter in zip(seconds, refused, strict=True):
        each.refused = dict(counter)
    return seconds


async def serve(plan: Plan) -> None:
    """Say when every edge knows every key, read the schedule, and write what came of it."""
    configure_logs(LogSettings(), service="bench", instance="edges")
    async with running_edges(plan) as edges:
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            if all(edge.is_current and edge.known >= len(plan.secrets) for edge in edges):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"edges know {[edge.known for edge in edges]} keys")
            await asyncio.sleep(0.1)
        print("ready", flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        schedule = msgspec.json.decode(line, type=Schedule)
        print(msgspec.json.encode(await load(edges, plan, schedule)).decode(), flush=True)


def main() -> int:
    """Read the plan."""
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    collect_rarely()  # as `python -m edge` does
    uvloop.run(serve(plan))
    return 0


if __name__ == "__main__":
    sys.exit(main())
