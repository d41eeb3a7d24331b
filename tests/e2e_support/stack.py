"""Starts the whole of Turnpike as a newcomer does, and reads what it wrote about itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0
SMOLLM2 = "huggingfacetb/smollm2-135m-instruct"


@dataclass(frozen=True)
class Stack:
    """A running local stack."""

    state_dir: Path
    process: subprocess.Popen[bytes]

    @property
    def run(self) -> dict[str, Any]:
        """What the stack says of itself now; a restarted child has another pid there."""
        record: dict[str, Any] = json.loads((self.state_dir / "run.json").read_text(encoding="utf-8"))
        return record

    @property
    def base_url(self) -> str:
        return str(self.run["base_url"])

    @property
    def api_key(self) -> str:
        return str(self.run["api_key"])

    def pid(self, name: str) -> int:
        return int(self.run["processes"][name]["pid"])

    def admin_url(self, name: str) -> str:
        return str(self.run["processes"][name]["admin_url"])

    def kill(self, name: str) -> int:
        """Kill a process as a crash would, and return the pid that it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, name: str, old_pid: int) -> None:
        """Wait until the supervisor replaced a process and the new one is ready."""
        wait_until(lambda: self.pid(name) != old_pid, f"{name} was not restarted")
        self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"{self.admin_url(name)}/healthz/ready", timeout=2) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        wait_until(ready, f"{name} did not become ready")

    def wait_reading(self) -> None:
        """Wait until metering reads usage events: before that it says of no generation that there is none."""
        request = urllib.request.Request(
            f"{self.base_url}/generation?id=gen-1-aaaaaaaaaaaaaaaaaaaa",
            headers={"Authorization": f"Bearer {self.api_key}"},
        )

        def reading() -> bool:
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except urllib.error.HTTPError as error:
                return error.code == 404
            return False

        wait_until(reading, "metering does not read")

    def control(self, *arguments: str) -> None:
        """Use the command line against this stack."""
        subprocess.run(
            [turnpike(), "stack", *arguments, "--state-dir", str(self.state_dir)], check=True, timeout=60, cwd=ROOT
        )


ROOT = Path(__file__).resolve().parents[2]


def turnpike() -> str:
    """The command as it is installed beside this interpreter."""
    return str(Path(sys.executable).with_name("turnpike"))


def wait_until(condition: Any, failure: str, limit: float = 60.0) -> None:
    """Poll a condition; a test that waits on real processes has no event to wait on."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(failure)
        time.sleep(0.1)


async def wait_until_async(condition: Callable[[], Awaitable[bool]], failure: str, limit: float = 60.0) -> None:
    """Poll a condition that asks over the network."""
    try:
        async with asyncio.timeout(limit):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(failure) from None


@contextmanager
def running_stack(state_dir: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Stack]:
    """Run `turnpike up` until the block ends, then stop it as Ctrl-C does and check that nothing is left."""
    log = state_dir.parent / f"{state_dir.name}.out"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [turnpike(), "up", "--state-dir", str(state_dir), "--port", "0", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    stack = Stack(state_dir=state_dir, process=process)
    try:
        wait_until(
            lambda: (state_dir / "run.json").exists() or process.poll() is not None,
            "the stack did not start",
            START_LIMIT_S,
        )
        if process.poll() is not None:
            raise AssertionError(f"the stack ended while starting:\n{log.read_text(errors='replace')[-4000:]}")
        stack.wait_reading()
        yield stack
        children = [int(child["pid"]) for child in stack.run["processes"].values()]
        process.send_signal(signal.SIGINT)
        process.wait(STOP_LIMIT_S)
        assert process.returncode == 0, log.read_text(errors="replace")[-4000:]
        assert not (state_dir / "run.json").exists()
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
