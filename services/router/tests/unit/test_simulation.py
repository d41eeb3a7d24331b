"""The routing simulator: what it compares, and that the router's own policy is worth its name in it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from router.simulation.comparison import Run, compare, policies_named, scenarios_named
from router.simulation.engine import simulate
from router.simulation.fleet import Behaviour, Trouble
from router.simulation.measured import Answer, Measured
from router.simulation.policies import INVERSE_SQUARE, OURS, POLICIES
from router.simulation.scenarios import SCENARIOS, Scenario
from router.simulation.workload import Workload

SEEDS = (1, 2)
DOCUMENT = Path(__file__).parents[4] / "docs" / "routing.md"
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
DEGRADED = [scenario.name for scenario in SCENARIOS if scenario.degraded]


@cache
def measured(scenario: str, policy: str, seed: int = 1) -> Measured:
    return simulate(BY_NAME[scenario], POLICIES[policy], seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", DEGRADED)
def test_in_trouble_ours_is_faster_and_no_dearer_than_inverse_square_and_loses_no_more(name: str, seed: int) -> None:
    ours, other = measured(name, OURS, seed), measured(name, INVERSE_SQUARE, seed)
    assert ours.first_token(0.99) < other.first_token(0.99)
    assert ours.success >= other.success
    assert ours.usd_per_thousand <= other.usd_per_thousand


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["impatient", "crowded"])
def test_ours_serves_requests_that_inverse_square_loses(name: str, seed: int) -> None:
    ours, other = measured(name, OURS, seed), measured(name, INVERSE_SQUARE, seed)
    assert len(ours.lost) < len(other.lost) / 5


def test_without_trouble_ours_costs_less_and_is_as_fast() -> None:
    ours, other = measured("calm", OURS), measured("calm", INVERSE_SQUARE)
    assert ours.usd_per_thousand < other.usd_per_thousand
    assert ours.first_token(0.99) == pytest.approx(other.first_token(0.99), rel=0.02)
    assert not ours.lost


@pytest.mark.parametrize("policy", list(POLICIES))
def test_r12_the_same_seed_makes_the_same_choices(policy: str) -> None:
    brief = replace(BY_NAME["everything"], seconds=60.0)
    first, second, other = (simulate(brief, POLICIES[policy], seed) for seed in (7, 7, 8))
    assert first == second
    assert first.answers != other.answers


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_gets_the_same_requests_and_answers_those_of_a_calm_fleet(policy: str) -> None:
    brief = replace(BY_NAME["calm"], seconds=30.0)
    found, ours = simulate(brief, POLICIES[policy], 3), simulate(brief, POLICIES[OURS], 3)
    assert sorted(answer.at for answer in found.answers) == sorted(answer.at for answer in ours.answers)
    assert not found.lost
    assert sum(found.shares().values()) == pytest.approx(1.0)


def test_the_policies_do_what_their_names_say() -> None:
    brief = replace(BY_NAME["calm"], seconds=60.0)
    found = {name: simulate(brief, policy, 1).shares() for name, policy in POLICIES.items()}
    assert found["cheapest"] == {"cheap": 1.0}
    assert found["random"]["fast"] == pytest.approx(0.25, abs=0.04)
    assert max(found["latency"], key=lambda name: found["latency"][name]) == "fast"
    assert found["least-busy"]["fast"] > found["random"]["fast"]
    # One over the price squared: 1, 0.83, 0.64, 0.11.
    assert found["inverse-square"]["fast"] == pytest.approx(0.043, abs=0.015)
    assert found[OURS]["fast"] < 0.02


def outage(kind: Trouble) -> Measured:
    """Two equal endpoints at fifty requests a second; `a` is in trouble from 30 to 60 s. Nobody probes it."""
    fleet = (Behaviour("a", 1_000_000, troubles=(kind,)), Behaviour("b", 1_000_000))
    return simulate(Scenario("", "", fleet, Workload(per_second=50.0), seconds=180.0), POLICIES[OURS], 1)


@pytest.mark.parametrize("kind", [Trouble(30, 60, failing=1.0), Trouble(30, 60, hanging=1.0)])
def test_r1_an_outage_loses_no_request_and_its_endpoint_comes_back_by_itself(kind: Trouble) -> None:
    found = outage(kind)
    assert not found.lost
    by_second = Counter((int(answer.at), answer.endpoint) for answer in found.answers)
    of_a = [by_second[second, "a"] / 50 for second in range(180)]
    assert sum(of_a[10:30]) / 20 > 0.4
    assert sum(of_a[30:60]) == 0
    assert sum(of_a[150:180]) / 30 > 0.4
    # It had half of them, and within six seconds it had none: what failed was tried elsewhere.
    assert found.attempts.total() - found.requests < 6 * 50 / 2


def test_r4_further_attempts_are_bounded_when_every_endpoint_fails() -> None:
    trouble = (Trouble(0, 1e9, failing=1.0),)
    fleet = tuple(Behaviour(name, 1_000_000, troubles=trouble) for name in "abc")
    scenario = Scenario("", "", fleet, Workload(per_second=50.0, patience=10.0), seconds=60.0)
    found = simulate(scenario, POLICIES[OURS], 1)
    assert found.success == 0.0
    assert found.attempts_per_request <= 1.2


def test_a_provider_without_retry_after_is_used_at_the_rate_that_it_accepts() -> None:
    scenario = Scenario(
        "",
        "",
        (Behaviour("cheap", 1_000_000, rate_limit=5.0), Behaviour("dear", 2_000_000)),
        Workload(per_second=20.0),
        seconds=600.0,
    )
    found = simulate(scenario, POLICIES[OURS], 1)
    served = found.shares()["cheap"] * len(found.answers)
    assert 0.75 * 5.0 * 600 < served <= 5.0 * 601
    assert not found.lost
    assert found.attempts_per_request < 1.01


def test_chats_stay_where_their_prompt_is_cached() -> None:
    fleet = tuple(Behaviour(name, 1_000_000, caches=True) for name in "abcd")
    chats = Scenario("", "", fleet, Workload(turns=10), seconds=200.0)
    ours, shuffled = (simulate(chats, POLICIES[name], 1) for name in (OURS, "random"))
    assert ours.usd_per_thousand < 0.6 * shuffled.usd_per_thousand


def test_a_lost_request_counts_as_all_of_its_callers_patience() -> None:
    found = Measured(patience=9.0, answers=[Answer(1.0, 0.5, "a"), Answer(2.0, 0.7, "b")], lost=[3.0])
    assert found.success == pytest.approx(2 / 3)
    assert found.first_token(0.5) == 0.7
    assert found.first_token(0.99) == 9.0
    assert found.slowest(2.5, 0.99) == [(1.25, 0.7), (3.75, 9.0)]
    assert Measured(patience=1.0).as_json()["first_token_seconds"] == {"p50": 0.0, "p90": 0.0, "p99": 0.0}


def test_a_comparison_runs_what_is_asked_for_in_a_fixed_order() -> None:
    assert [scenario.name for scenario in scenarios_named(["outage", "calm"])] == ["calm", "outage"]
    assert scenarios_named([]) == SCENARIOS
    assert policies_named(["latency", OURS]) == (OURS, "latency")
    assert policies_named([]) == tuple(POLICIES)
    runs = list(compare([replace(BY_NAME["calm"], seconds=5.0)], [OURS, "random"], 4))
    assert [(run.scenario.name, run.policy, run.seed) for run in runs] == [("calm", OURS, 4), ("calm", "random", 4)]
    shown = runs[0].as_json()
    assert list(shown) == [
        "scenario",
        "degraded",
        "policy",
        "seed",
        "requests",
        "lost",
        "success",
        "first_token_seconds",
        "usd_per_1000_requests",
        "attempts_per_request",
        "shares",
    ]
    assert shown["requests"] == runs[0].measured.requests


def figures(run: Run) -> tuple[str, ...]:
    found = run.measured
    return (
        f"{found.success:.2%}",
        f"{found.first_token(0.5):.2f}",
        f"{found.first_token(0.99):.2f}",
        f"{found.usd_per_thousand:.3f}",
        f"{found.attempts_per_request:.3f}",
    )


def test_the_documented_table_is_what_the_simulator_finds() -> None:
    rows = re.findall(r"^\| (\w+) +\| ([\w-]+) +\|(.*)\|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {
        (scenario, policy): tuple(cell.strip() for cell in cells.split("|"))[:5]
        for scenario, policy, cells in rows
        if policy in POLICIES
    }
    assert list(documented) == [(scenario.name, policy) for scenario in SCENARIOS for policy in POLICIES]
    checked = [(name, policy) for name in BY_NAME for policy in (OURS, INVERSE_SQUARE)]
    checked += [("everything", policy) for policy in POLICIES]
    for name, policy in checked:
        assert documented[name, policy] == figures(Run(BY_NAME[name], policy, 1, measured(name, policy))), name
