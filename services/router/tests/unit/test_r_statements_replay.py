"""R12: the same seed and the same events give the same choices, in this process and in any other."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from contracts.ids import EndpointId
from router.domain.attempts import FailureKind
from router.domain.demand import Demand
from router.domain.health_view import Dispatch, EndpointState, FleetHealth, Showing
from router.domain.ranking import Continuation
from router.domain.selection import choose
from router.domain.verdicts import Verdict
from router.testing.catalogs import Offer, catalog_of

START = datetime(2026, 11, 25, tzinfo=UTC)
SLUGS = "abcdefgh"
CATALOG = catalog_of(*[Offer(slug, prompt=f"0.00000{number}") for number, slug in enumerate(SLUGS, start=1)])
KINDS = [FailureKind.SERVER_ERROR, FailureKind.RATE_LIMITED, FailureKind.TIMEOUT, FailureKind.KEY_REJECTED]


def replay(seed: int, events: int = 3_000) -> list[str]:
    """Take a made-up log of events through a router's health and return every choice on the way, as text."""
    log, draws = Random(f"log {seed}"), Random(seed)
    verdicts: dict[EndpointId, Verdict] = {}
    health = FleetHealth(Random(seed), verdicts.get)
    under_way: list[Dispatch] = []
    choices: list[str] = []
    now = 0.0
    for number in range(events):
        now += log.expovariate(20)
        wall = START + timedelta(seconds=now)

        def state_of(endpoint_id: EndpointId) -> EndpointState:
            return health.state(endpoint_id, now, wall)  # noqa: B023 - called within this turn of the loop

        demand = Demand(models=("acme/one",), prompt_tokens=log.randrange(1, 8_000), output_limit=None)
        continuation = Continuation(bytes([number % 7])) if log.random() < 0.3 else None
        choice = choose(CATALOG, demand, frozenset(SLUGS), state_of, draws, at=wall, continuation=continuation)
        choices.append(" ".join(f"{each.endpoint.tag}:{each.share!r}" for each in choice.candidates))
        if choice.attempts:
            under_way.append(health.dispatched(choice.attempts[0].endpoint.id, now, stream=True))
        while under_way and log.random() < 0.5:
            dispatch = under_way.pop(log.randrange(len(under_way)))
            if log.random() < 0.3:
                health.failed(dispatch, now, log.choice(KINDS), retry_after=log.choice([None, 5.0]))
            else:
                health.showed_life(dispatch, now, log.uniform(0.1, 2.0), demand.prompt_tokens)
                health.succeeded(dispatch, now, Showing(log.uniform(10, 90), log.uniform(0, 1), log.random()))
        if log.random() < 0.02:
            endpoint_id = EndpointId(f"acme/one@{log.choice(SLUGS)}")
            verdict = Verdict(endpoint_id, log.random() < 0.5, 1, number + 1, wall, wall + timedelta(seconds=90))
            verdicts[endpoint_id] = verdict
            health.judged(verdict, now, wall)
    return choices


def test_r12_the_same_seed_and_the_same_events_give_the_same_choices() -> None:
    first = replay(7)
    assert replay(7) == first
    assert len({choice.partition(":")[0] for choice in first}) > 3, "the log makes a difference to the choices"
    assert replay(8) != first


def test_r12_another_process_makes_the_same_choices_whatever_its_hashes() -> None:
    here = Path(__file__)
    program = (
        "import importlib.util, sys, zlib\n"
        f"spec = importlib.util.spec_from_file_location('replay', {str(here)!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['replay'] = module\n"
        "spec.loader.exec_module(module)\n"
        "print(zlib.crc32('\\n'.join(module.replay(3, 800)).encode()))\n"
    )
    sums = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            text=True,
            check=True,
        )
        sums.add(done.stdout)
    assert len(sums) == 1
