"""What every generation of one router shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from router.attempt import Patience
from router.domain.customer_key_rests import CustomerKeyRests
from router.domain.health_view import FleetHealth
from router.domain.hedging import HedgeBudget
from router.domain.key_pool import KeyPools
from router.domain.ports import Providers, Telemetry, Tokenizers, UsageLog
from router.domain.retry_budget import RetryBudget
from router.domain.stickiness import StickyPlaces
from servicekit.clock import Clock


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every generation shares. `hedges` says whether requests are hedged that do not say themselves."""

    providers: Providers
    health: FleetHealth
    usage_log: UsageLog
    telemetry: Telemetry
    clock: Clock
    patience: Patience
    keys: KeyPools
    retries: RetryBudget
    places: StickyPlaces
    random: Random
    tokenizers: Tokenizers
    key_rests: CustomerKeyRests = field(default_factory=CustomerKeyRests)
    hedges: bool = False
    hedge_budget: HedgeBudget = field(default_factory=HedgeBudget)
