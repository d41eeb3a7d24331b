"""The processes that are measured: the provider, and Turnpike's own local stack in front of it."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 180.0
STOP_LIMIT_S = 60.0


class StackError(Exception):
    """The stack did not start, or did not stop; the message ends with what it printed last."""


@dataclass(frozen=True)
class Stack:
    """A running stack: where to send requests, and the process of each part."""

    base_url: str
    api_key: str
    pids: Mapping[str, int]


@contextmanager
def running_upstream() -> Iterator[tuple[str, int]]:
    """Run the provider in a process of its own; gives its base URL and pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", "turnpike_bench.upstream"], cwd=ROOT / "bench", stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise StackError("the provider did not start")
        yield f"http://127.0.0.1:{port}/v1", process.pid
    finally:
        process.terminate()
        process.communicate(timeout=STOP_LIMIT_S)


def write_catalog(folder: Path, upstream_url: str) -> Path:
    """Write the bench catalogue with the provider's address, and the credentials that make it routable."""
    catalog = folder / "catalog"
    catalog.mkdir(parents=True, exist_ok=True)
    template = Template((ROOT / "bench" / "catalog" / "bench.yaml.in").read_text(encoding="utf-8"))
    (catalog / "bench.yaml").write_text(template.substitute(UPSTREAM_URL=upstream_url), encoding="utf-8")
    return catalog


@contextmanager
def running_stack(folder: Path, catalog: Path) -> Iterator[Stack]:
    """Run `turnpike up` without models until the block ends, then stop it as Ctrl-C does.

    Raises:
        StackError: it ended while starting, was not ready in time, or did not stop.
    """
    state_dir, log = folder / "state", folder / "stack.log"
    arguments = ["up", "--state-dir", str(state_dir), "--port", "0", "--no-models", "--catalog", str(catalog)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("turnpike")), *arguments],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _read_stack(process, state_dir / "run.json", log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise StackError(f"the stack did not stop; its output is in {log}") from None


def _read_stack(process: subprocess.Popen[bytes], record: Path, log: Path) -> Stack:
    deadline = time.monotonic() + START_LIMIT_S
    while not record.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the stack did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
    run: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    pids = {name: int(part["pid"]) for name, part in run["processes"].items()}
    return Stack(base_url=str(run["base_url"]), api_key=str(run["api_key"]), pids=pids)


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process so far, in steps of the kernel's tick (10 ms)."""
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}


def memory_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """Resident memory of each process."""
    return {name: psutil.Process(pid).memory_info().rss / 2**20 for name, pid in pids.items()}


def machine() -> dict[str, object]:
    """What the figures depend on."""
    model = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
