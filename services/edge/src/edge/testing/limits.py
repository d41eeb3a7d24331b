"""Rate limits over a lender in memory."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from opentelemetry.metrics import NoOpMeter

from edge.domain.rate_limits import RateLimits
from edge.lease_ports import LeaseLender
from edge.lent_limits import LentLimits
from edge.window_wallets import WindowWallets
from servicekit.clock import Clock


def window_wallets(lender: LeaseLender, clock: Clock, random: Random, *, edges: int = 1) -> WindowWallets:
    """Wallets of one edge; they borrow while they run."""
    return WindowWallets(
        lender,
        clock,
        NoOpMeter("test"),
        random,
        unused=timedelta(seconds=3),
        patience=timedelta(seconds=1),
        edges=edges,
    )


def lent_limits(wallets: WindowWallets) -> LentLimits:
    """Limits that are kept with these wallets."""
    return LentLimits(RateLimits(), wallets)
