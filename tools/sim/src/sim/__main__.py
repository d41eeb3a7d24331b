"""`python -m sim --port P`: serves until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import uvloop
from aiohttp import web

from sim.app import build_app

# Answers may take as long as a model name says, so a stop does not wait for them.
_SHUTDOWN_SECONDS = 0.2


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="sim", description="A simulated model provider.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument("--api-key", default="", help="wanted as a bearer token; none by default")
    parser.add_argument("--seed", type=int, default=0, help="of every made-up word and every fault by chance")
    arguments = parser.parse_args()
    try:
        uvloop.run(serve(arguments.host, arguments.port, arguments.api_key, arguments.seed))
    except OSError as error:
        sys.exit(f"sim: cannot listen on {arguments.host}:{arguments.port}: {error.strerror or error}")


async def serve(host: str, port: int, api_key: str, seed: int) -> None:
    """Serve until told to stop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    runner = web.AppRunner(
        build_app(api_key=api_key, seed=seed),
        access_log=None,
        # A client that leaves stops the answer, as it does at a real provider.
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        print(f"sim: listening on http://{host}:{bound}/v1", flush=True)
        await stopping.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
