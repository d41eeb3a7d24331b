"""ClickHouse's HTTP interface around chDB, so that tests reach the engine by the path that a server is reached by."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import chdb
from aiohttp import web

# Parameters of the protocol that mean nothing in one process.
_IGNORED: Final = frozenset(
    {
        "client_protocol_version",
        "database",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "query_id",
        "send_progress_in_http_headers",
        "wait_end_of_query",
    }
)
_INSERT: Final = re.compile(rb"(INSERT INTO [^\n]*) FORMAT Native\n", re.DOTALL)
_CODE: Final = re.compile(r"Code: (\d+)")
_PARAM: Final = "param_"


@dataclass(frozen=True, slots=True)
class _Engine:
    path: Path

    def run(self, body: bytes, query: Mapping[str, str]) -> bytes:
        """Run one request in a session of its own, as the interface does."""
        session = chdb.connect(str(self.path))
        try:
            if "database" in query:
                session.query(f"USE `{query['database']}`", "TabSeparated")
            for name, value in query.items():
                if name not in _IGNORED and not name.startswith(_PARAM):
                    session.query(f"SET {name} = '{value}'", "TabSeparated")
            insert = _INSERT.match(body)
            if insert is not None:
                return self._insert(session, insert[1].decode(), body[insert.end() :])
            params = {name.removeprefix(_PARAM): value for name, value in query.items() if name.startswith(_PARAM)}
            return bytes(session.query(body.decode(), "TabSeparated", params=params).bytes() or b"")
        finally:
            session.close()

    @staticmethod
    def _insert(session: chdb.state.sqlitelike.Connection, statement: str, rows: bytes) -> bytes:
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(rows)
            file.flush()
            text = f"{statement} FROM INFILE '{file.name}' FORMAT Native"
            session.query(text, "TabSeparated")  # house: built-sql - the driver's own statement, our own file
        return b""


@asynccontextmanager
async def clickhouse_over_http(path: Path, port: int = 0) -> AsyncIterator[str]:
    """Serve the engine at `path`, which this process may have open, and yield `http://host:port`.

    Port 0 takes a free one.
    """
    engine = _Engine(path)
    threads = ThreadPoolExecutor(max_workers=1)

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        loop = asyncio.get_running_loop()
        try:
            return web.Response(body=await loop.run_in_executor(threads, engine.run, body, request.query))
        except Exception as error:
            code = _CODE.search(str(error))
            headers = {"X-ClickHouse-Exception-Code": code[1]} if code is not None else {}
            return web.Response(status=500, text=str(error), headers=headers)

    app = web.Application(client_max_size=2**28)
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        threads.shutdown()


async def _serve(path: Path, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    keeper = chdb.connect(str(path))  # closing the last session would close the engine
    try:
        async with clickhouse_over_http(path, port) as url:
            sys.stdout.write(f"{url}\n")
            sys.stdout.flush()
            await stopping.wait()
    finally:
        keeper.close()


def main() -> None:
    """Serve as a process, so that several processes share one store and it can be killed apart from them."""
    parser = argparse.ArgumentParser(prog="metering.testing.clickhouse_http", description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(_serve(options.path, options.port))


if __name__ == "__main__":
    main()
