"""The bench of admission admits what it says, and asks nobody for it."""

from __future__ import annotations

from dataclasses import replace

from contracts.money import NanoUsd
from turnpike_bench import admission


async def test_every_request_is_admitted_from_what_is_lent() -> None:
    cost = await admission.measure("a key", admission.PLAIN, 20)
    assert cost.hold_us > 0
    assert cost.whole_us > 0
    limited = replace(admission.PLAIN, limit=NanoUsd(admission.DOLLAR))
    # The questions of a warm-up: a wallet's first lease, and one that grows.
    assert (await admission.measure("a key", limited, 20)).calls <= 6
