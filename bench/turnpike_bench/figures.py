"""Figures out of what was measured: percentiles, costs, and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the values do not exceed (nearest rank); 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1))]


@dataclass(frozen=True)
class Throughput:
    """A load at a fixed concurrency. CPU in microseconds a request, by process."""

    name: str
    requests: int
    concurrency: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: Mapping[str, float]
    faults: int

    @property
    def turnpike_cpu_us(self) -> float:
        """Edge and router together."""
        return self.cpu_us.get("edge", 0.0) + self.cpu_us.get("router", 0.0)


@dataclass(frozen=True)
class AddedLatency:
    """One request at a time, through Turnpike and straight to the provider, in milliseconds."""

    name: str
    requests: int
    direct_p50_ms: float
    direct_p99_ms: float
    turnpike_p50_ms: float
    turnpike_p99_ms: float

    @property
    def added_p50_ms(self) -> float:
        return self.turnpike_p50_ms - self.direct_p50_ms

    @property
    def added_p99_ms(self) -> float:
        return self.turnpike_p99_ms - self.direct_p99_ms


@dataclass(frozen=True)
class Results:
    """Everything of one run; memory in MiB by process, idle and after the load; milliseconds until a provider is cancelled."""

    machine: Mapping[str, object]
    throughput: Sequence[Throughput]
    latency: Sequence[AddedLatency]
    memory_idle_mib: Mapping[str, float]
    memory_loaded_mib: Mapping[str, float]
    cancelled_ms: Sequence[float]

    def as_json(self) -> dict[str, object]:
        record: dict[str, object] = asdict(self)
        record["throughput"] = [{**asdict(load), "turnpike_cpu_us": load.turnpike_cpu_us} for load in self.throughput]
        record["latency"] = [
            {**asdict(one), "added_p50_ms": one.added_p50_ms, "added_p99_ms": one.added_p99_ms} for one in self.latency
        ]
        return record

    def as_table(self) -> str:
        lines = [
            f"{'load':<22}{'req':>7}{'conc':>6}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}"
            f"{'edge µs':>9}{'router µs':>11}{'both µs':>9}{'direct µs':>11}{'faults':>8}"
        ]
        lines += [
            f"{load.name:<22}{load.requests:>7}{load.concurrency:>6}{load.requests_per_s:>9.0f}{load.p50_ms:>9.2f}"
            f"{load.p99_ms:>9.2f}{_cell(load.cpu_us, 'edge', 9)}{_cell(load.cpu_us, 'router', 11)}"
            f"{load.turnpike_cpu_us:>9.0f}{_cell(load.cpu_us, 'upstream', 11)}{load.faults:>8}"
            for load in self.throughput
        ]
        lines += [
            "",
            f"{'one at a time':<22}{'req':>7}{'direct p50/p99':>17}{'Turnpike p50/p99':>19}{'added p50/p99':>16}  ms",
        ]
        lines += [
            f"{one.name:<22}{one.requests:>7}{_pair(one.direct_p50_ms, one.direct_p99_ms, 17)}"
            f"{_pair(one.turnpike_p50_ms, one.turnpike_p99_ms, 19)}{_pair(one.added_p50_ms, one.added_p99_ms, 16)}"
            for one in self.latency
        ]
        lines += ["", f"{'memory':<22}{'idle MiB':>10}{'loaded MiB':>12}"]
        lines += [
            f"{name:<22}{idle:>10.0f}{self.memory_loaded_mib.get(name, 0.0):>12.0f}"
            for name, idle in self.memory_idle_mib.items()
        ]
        lines += [
            "",
            f"caller gone to provider cancelled, {len(self.cancelled_ms)} streams:"
            f" p50 {percentile(self.cancelled_ms, 0.5):.1f}, p99 {percentile(self.cancelled_ms, 0.99):.1f} ms",
        ]
        return "\n".join(lines)


def _cell(values: Mapping[str, float], name: str, width: int) -> str:
    return f"{values[name]:>{width}.0f}" if name in values else f"{'-':>{width}}"


def _pair(p50: float, p99: float, width: int) -> str:
    return f"{f'{p50:.2f} / {p99:.2f}':>{width}}"
