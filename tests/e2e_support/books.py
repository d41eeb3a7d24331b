"""What the stores hold, read from themselves: the router's spool, PostgreSQL and ClickHouse, compared with each other."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from contracts import money
from e2e_support.stack import ROOT, Stack
from servicekit.spool.segments import read_entries
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

_SETTLE_LIMIT_S = 90.0
_LOOK_S = 0.2
_QUIET_S = 2.0
_CLICKHOUSE_LOOKS = 8


@dataclass(frozen=True)
class StoredEvent:
    """A usage event as a store holds it; the cost is in nano-dollars."""

    generation_id: str
    cost: int


class Books:
    """Looks into the stores of one stack."""

    def __init__(self, stack: Stack, database: asyncpg.Pool, management: aiohttp.ClientSession) -> None:
        self._stack = stack
        self._database = database
        self._management = management

    async def new_key(self) -> tuple[str, str]:
        """Make an inference key; gives its id in the stores and the key itself."""
        async with self._management.post(f"{self._stack.base_url}/keys", json={"name": "end to end"}) as answer:
            document = await answer.json()
            assert answer.status in (200, 201), document
        digest, secret = document["data"]["hash"], str(document["key"])
        return str(await self._database.fetchval("SELECT key_id FROM api_keys WHERE digest = $1", digest)), secret

    async def remaining_credit(self) -> int:
        """What the organisation has left, in nano-dollars, once nothing is being settled any more."""
        seen: object = None
        for _ in range(int(_SETTLE_LIMIT_S / _QUIET_S)):
            before, seen = seen, await self._database.fetchval("SELECT count(*) FROM settled_events")
            if before == seen:
                break
            await asyncio.sleep(_QUIET_S)
        async with self._management.get(f"{self._stack.base_url}/credits") as answer:
            assert answer.status == 200, await answer.text()
            credit = json.loads(await answer.text(), parse_float=_exact, parse_int=_exact)["data"]
        return int(credit["total_credits"]) - int(credit["total_usage"])

    async def settled(self) -> dict[str, StoredEvent]:
        """Every settled event by its id."""
        rows = await self._database.fetch("SELECT event_id, generation_id, cost_nano FROM settled_events")
        return {str(row["event_id"]): StoredEvent(row["generation_id"], row["cost_nano"]) for row in rows}

    async def wait_settled(self, generation_ids: Collection[str]) -> None:
        """Wait until these generations are settled.

        Raises:
            AssertionError: some are not, after a minute and a half.
        """
        missing = set(generation_ids)
        for _ in range(int(_SETTLE_LIMIT_S / _LOOK_S)):
            found = await self._database.fetch(
                "SELECT generation_id FROM settled_events WHERE generation_id = ANY($1)", list(missing)
            )
            missing -= {row["generation_id"] for row in found}
            if not missing:
                return
            await asyncio.sleep(_LOOK_S)
        raise AssertionError(f"{len(missing)} generations were not settled: {sorted(missing)[:3]}")

    async def ledger_cost(self, generation_id: str) -> int:
        """What the ledger took from the organisation for a generation, in nano-dollars."""
        cost = await self._database.fetchval(
            """
            SELECT sum(entry.nano)
            FROM ledger_entries AS entry JOIN settled_events AS event ON entry.cause_id = event.event_id
            WHERE event.generation_id = $1 AND entry.debit = 'customer:' || event.org_id
            """,
            generation_id,
        )
        return int(cost)

    async def clickhouse_cost_of_key(self, key_id: str) -> int:
        """What ClickHouse says that a key spent, in nano-dollars."""
        rows = await self._clickhouse(
            "SELECT toInt64(sum(toInt128(cost_nano_usd))) AS cost FROM usage_events FINAL WHERE key_id = {key_id:String}",
            {"key_id": key_id},
        )
        return int(rows[0]["cost"])

    async def check_complete(self, answered: Collection[str]) -> None:
        """Check that what callers saw end, what the router finished, the ledger and ClickHouse are the same generations.

        Args:
            answered: generations that callers saw end.

        Raises:
            AssertionError: one is missing somewhere, or counted twice.
        """
        await self.wait_settled(answered)
        finished = await self._wait_all_settled()
        assert set(answered) <= {event.generation_id for event in finished.values()}, "answered and not in the spool"
        settled = await self.settled()
        assert settled == finished
        stored = await self._wait_all_stored(len(settled))
        assert {row["event_id"]: StoredEvent(row["generation_id"], int(row["cost"])) for row in stored} == settled
        assert len(stored) == len(settled), "ClickHouse holds an event twice"
        await self._check_ledger(settled.values())

    async def _wait_all_settled(self) -> dict[str, StoredEvent]:
        """Everything that the router ever finished, and what the edge stated of the others, once accounts has settled as many."""
        for _ in range(int(_SETTLE_LIMIT_S / _LOOK_S)):
            finished = await asyncio.to_thread(read_spools, self._stack.state_dir)
            if await self._database.fetchval("SELECT count(*) FROM settled_events") >= len(finished):
                return finished
            await asyncio.sleep(_LOOK_S)
        return finished

    async def _check_ledger(self, events: Iterable[StoredEvent]) -> None:
        total = sum(event.cost for event in events)
        charged = await self._database.fetchval(
            """
            SELECT coalesce(sum(CASE WHEN debit LIKE 'customer:%' THEN nano ELSE -nano END), 0)::bigint FROM ledger_entries
            WHERE reason LIKE 'usage%' AND (debit LIKE 'customer:%' OR credit LIKE 'customer:%')
            """
        )
        assert charged == total, "the ledger is not the sum of the events' costs"
        assert await self._database.fetchval("SELECT sum(usage_nano)::bigint FROM orgs") == total

    async def _wait_all_stored(self, count: int) -> list[dict[str, Any]]:
        """Every row of ClickHouse, once there are as many; metering may have some reading to do."""
        stored: list[dict[str, Any]] = []
        for _ in range(_CLICKHOUSE_LOOKS):
            stored = await self._clickhouse(
                "SELECT toString(event_id) AS event_id, generation_id, cost_nano_usd AS cost FROM usage_events FINAL"
            )
            if len(stored) >= count:
                break
            await asyncio.sleep(_QUIET_S)
        return stored

    async def _clickhouse(self, query: str, parameters: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Ask the engine itself. One process may have the folder open, so metering is stopped for the question.

        It flushes what it has in hand when it stops, and reads on afterwards.
        """
        await asyncio.to_thread(self._stack.control, "stop", "metering")
        try:
            return await asyncio.to_thread(_ask_chdb, self._stack.state_dir / "clickhouse", query, parameters or {})
        finally:
            await asyncio.to_thread(self._stack.control, "start", "metering")
            await asyncio.to_thread(self._stack.wait_reading)


def read_spools(state: Path) -> dict[str, StoredEvent]:
    """Every event that a router or an edge wrote down, by id, as the highest rank has it; what Kafka acknowledged stays for an hour.

    A router that is killed leaves generations unfinished, of which the edge states what it has seen.
    """
    found: dict[str, UsageEvent] = {}
    # Only where they are: ClickHouse and PostgreSQL remove folders while one looks.
    for segment in sorted(path for name in ("spool", "edge") for path in (state / name).rglob("*.seg")):
        for _, entry in read_entries(segment):
            event = UsageEvent.FromString(entry.value)
            if event.rank >= (found[event.event_id].rank if event.event_id in found else 0):
                found[event.event_id] = event
    return {name: StoredEvent(event.generation_id, event.cost_nano_usd) for name, event in found.items()}


def _exact(text: str) -> int:
    """A JSON number of dollars as nano-dollars, without a float on the way."""
    return money.nano_from_usd(text)


_SCRIPT = """
import json, sys
import clickhouse_connect
query = json.load(sys.stdin)
client = clickhouse_connect.get_client(dsn=query["dsn"])
answer = client.query(query["query"], parameters=query["parameters"])
json.dump([dict(zip(answer.column_names, row)) for row in answer.result_rows], sys.stdout)
"""


def _ask_chdb(folder: Path, query: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    question = json.dumps({"dsn": f"chdb://{folder}", "query": query, "parameters": dict(parameters)})
    command: Sequence[str] = (sys.executable, "-c", _SCRIPT)
    answer = subprocess.run(command, input=question, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    rows: list[dict[str, Any]] = json.loads(answer.stdout)
    return rows
