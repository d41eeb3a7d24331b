"""`python -m turnpike_bench.admission`: what admitting a request costs an edge that holds a lease.

From the decoded request to credit that is set aside, and back: the rules of the key, the size of the prompt, the dearest way in which the
request could end, the rate limits, the hold, and its end. Nothing of it asks anybody.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Final

import uvloop
from opentelemetry.metrics import NoOpMeter

from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from dialects.chat import ChatRequest, decode_chat_request
from edge.admission import EASILY, Admission
from edge.catalog import Catalog, catalog_from_proto
from edge.domain.hold import Demand
from edge.domain.principal import Key, KeyKind, Org, Principal
from edge.domain.prompt_size import estimate_prompt_tokens
from edge.domain.quote import quote_of
from edge.domain.rate_limits import Claim
from edge.domain.wallet import Statement, WalletScope
from edge.lease_ports import Grant
from edge.request_rules import RequestRules
from edge.testing.doubles import MemoryKeyDirectory
from edge.testing.limits import lent_limits, window_wallets
from edge.testing.router import model
from edge.wallets import Wallets
from servicekit.clock import SystemClock
from servicekit.testing import running

DOLLAR: Final = 10**9
NOW_MS: Final = 1_790_000_000_000
ENDPOINTS: Final = 15
REQUEST: Final = (
    b'{"model":"acme/one","messages":[{"role":"system","content":"You are a helpful assistant."},'
    b'{"role":"user","content":"What does one request cost?"}],"max_tokens":200}'
)


PLAIN: Final = Key(KeyId("key"), "0" * 64, OrgId("org"), KeyKind.INFERENCE, False, None, NanoUsd(0), None, 1)


class GenerousLender:
    """Lends what is wanted."""

    def __init__(self) -> None:
        self.calls = 0
        self._granted: dict[str, int] = {}

    async def acquire(self, scope: WalletScope, lease_id: str, needed: int, wanted: int) -> Grant:
        """Lend."""
        self.calls += 1
        self._granted[lease_id] = 1_000 * wanted
        return Grant(1_000 * wanted, 960.0)

    async def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant:
        """Lend more."""
        self.calls += 1
        self._granted[statement.lease_id] += wanted
        return Grant(self._granted[statement.lease_id], 960.0)

    async def release(self, scope: WalletScope, statement: Statement) -> None:
        """Take back."""
        self.calls += 1


@dataclass(frozen=True)
class AdmissionCost:
    """CPU of one request in microseconds, and how often the lender was asked.

    Attributes:
        hold_us: the hold and its end alone.
        whole_us: everything.
    """

    name: str
    hold_us: float
    whole_us: float
    calls: int


class _Edge:
    """What admits requests at an edge."""

    def __init__(self, key: Key) -> None:
        self.lender = GenerousLender()
        self.wallets = Wallets(
            self.lender,
            SystemClock(),
            NoOpMeter("bench"),
            Random(1),
            cover=timedelta(minutes=15),
            patience=timedelta(seconds=3),
        )
        directory = MemoryKeyDirectory()
        self.principal = Principal(key, Org(OrgId("org"), True, NanoUsd(1_000 * DOLLAR), 1))
        self._admission = Admission(self.wallets, directory)
        self.windows = window_wallets(self.lender, SystemClock(), Random(1))
        self._rules = RequestRules(directory, lent_limits(self.windows), SystemClock())

    async def whole(self, catalog: Catalog, request: ChatRequest) -> None:
        """Admit a request, and end it."""
        ruled = await self._rules.apply(self.principal, request, NOW_MS)
        body = ruled.request.body
        slugs = [body.model or ""]
        demand = Demand(estimate_prompt_tokens(body), body.output_limit, body.n or 1)
        quote = quote_of(catalog.offers_for(slugs), demand, 4_096, self.principal.org.balance // EASILY)
        claim = Claim(catalog.names_of(slugs), demand.prompt_tokens + quote.usual.output_tokens, quote.usual.amount)
        reserved = await self._rules.reserve(ruled, claim, NOW_MS)
        admitted = await self._admission.admit(self.principal, quote, NOW_MS, has_budget=ruled.has_budget)
        admitted.ticket.charge(1_000)
        reserved.settle(100, 1_000)
        reserved.close()

    async def hold(self) -> None:
        """Take a hold, and end it."""
        (await self.wallets.take(WalletScope("org"), 100_000)).charge(1_000)


async def measure(name: str, key: Key, rounds: int) -> AdmissionCost:
    """Measure one kind of key."""
    edge, request = _Edge(key), decode_chat_request(REQUEST)
    row = model()
    for number in range(1, ENDPOINTS):
        copy = row.endpoints.add()
        copy.CopyFrom(row.endpoints[0])
        copy.price.prompt_pico_usd += number
    catalog = catalog_from_proto("1", [row])
    async with running(edge.wallets, edge.windows):
        for _ in range(100):
            await edge.whole(catalog, request)
            await edge.hold()
        await asyncio.sleep(0)
        began = time.process_time()
        for _ in range(rounds):
            await edge.hold()
        between = time.process_time()
        for _ in range(rounds):
            await edge.whole(catalog, request)
        ended = time.process_time()
    return AdmissionCost(name, (between - began) / rounds * 1e6, (ended - between) / rounds * 1e6, edge.lender.calls)


def main() -> int:
    """Print a table."""
    limits = (
        RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 10**9),
        RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 10**15),
    )
    keys = {
        "a key": PLAIN,
        "a key with a limit": replace(PLAIN, limit=NanoUsd(1_000 * DOLLAR)),
        "a key with a limit and two rate limits": replace(PLAIN, limit=NanoUsd(1_000 * DOLLAR), rate_limits=limits),
    }
    print(f"{'':40} {'hold, us':>9} {'whole, us':>10} {'questions':>10}")
    for name, key in keys.items():
        cost = uvloop.run(measure(name, key, 50_000))
        print(f"{cost.name:40} {cost.hold_us:9.2f} {cost.whole_us:10.1f} {cost.calls:10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
