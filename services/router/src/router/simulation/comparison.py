"""Every policy over every scenario, with one seed: what `turnpike simulate` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from router.simulation.engine import simulate
from router.simulation.measured import Measured
from router.simulation.policies import POLICIES
from router.simulation.scenarios import SCENARIOS, Scenario


@dataclass(frozen=True, slots=True)
class Run:
    """One policy over one scenario."""

    scenario: Scenario
    policy: str
    seed: int
    measured: Measured

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "scenario": self.scenario.name,
            "degraded": self.scenario.degraded,
            "policy": self.policy,
            "seed": self.seed,
            **self.measured.as_json(),
        }


def scenarios_named(names: Sequence[str]) -> tuple[Scenario, ...]:
    """The scenarios of these names in their own order; all without a name."""
    return tuple(scenario for scenario in SCENARIOS if not names or scenario.name in names)


def policies_named(names: Sequence[str]) -> tuple[str, ...]:
    """The policies of these names in their own order; all without a name."""
    return tuple(name for name in POLICIES if not names or name in names)


def compare(scenarios: Sequence[Scenario], policies: Sequence[str], seed: int) -> Iterator[Run]:
    """Run each policy over each scenario."""
    for scenario in scenarios:
        for name in policies:
            yield Run(scenario, name, seed, simulate(scenario, POLICIES[name], seed))
