"""Several keys of one provider: which one a call takes, and which are out."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from router.domain.attempts import FailureKind
from router.domain.key_pool import OUT_SECONDS, KeyPools, PeakEwma
from router.testing.catalogs import Offer, catalog_of

ENDPOINT = next(iter(catalog_of(Offer("a")).endpoints.values()))


def pools_of(count: int) -> KeyPools:
    """Pools that have seen a call."""
    pools = KeyPools(lambda _: count)
    pools.release(ENDPOINT, pools.take(ENDPOINT, 0.0, Random(1)))
    return pools


def test_peak_ewma_follows_finagles_vectors() -> None:
    cost = PeakEwma()
    cost.observe(0.0, 100.0)
    assert cost.load(10.0, 0) == pytest.approx(36.8, abs=0.05)
    cost = PeakEwma()
    cost.observe(0.0, 100.0)
    cost.observe(10.0, 50.0)
    assert cost.cost == pytest.approx(68.4, abs=0.05)
    cost.observe(10.1, 200.0)
    assert cost.cost == 200.0
    untried = PeakEwma()
    assert untried.load(0.0, 0) == 0.0
    assert untried.load(0.0, 1) > 10**13


def test_calls_go_to_the_key_with_the_lower_load() -> None:
    pools, random = pools_of(2), Random(1)
    pools.answered(ENDPOINT, _take(pools, 0), 0.0, 4.0)
    pools.answered(ENDPOINT, _take(pools, 1), 0.0, 1.0)
    taken: Counter[int] = Counter()
    for _ in range(100):
        place = pools.take(ENDPOINT, 1.0, random)
        taken[place] += 1
        pools.release(ENDPOINT, place)
    assert taken == {1: 100}
    # Four times as fast: it gets about four of five calls that are in flight at once.
    together = Counter(pools.take(ENDPOINT, 1.0, random) for _ in range(100))
    assert 70 <= together[1] <= 90


def _take(pools: KeyPools, wanted: int) -> int:
    random = Random(2)
    while (place := pools.take(ENDPOINT, 0.0, random)) != wanted:
        pools.release(ENDPOINT, place)
    pools.release(ENDPOINT, place)
    return place


def test_r5_a_key_that_named_a_wait_gets_no_call_for_so_long_and_others_are_used() -> None:
    pools, random = pools_of(3), Random(1)
    pools.failed(ENDPOINT, 1, 100.0, FailureKind.RATE_LIMITED, 37.0)
    assert {pools.take(ENDPOINT, 100.0 + second * 0.5, random) for second in range(73)} == {0, 2}
    assert 1 in {pools.take(ENDPOINT, 137.0, random) for _ in range(60)}
    assert pools.wait(ENDPOINT, 101.0) == 0.0


def test_when_all_are_out_the_first_to_be_back_is_taken_and_the_wait_is_known() -> None:
    pools = pools_of(2)
    pools.failed(ENDPOINT, 0, 0.0, FailureKind.RATE_LIMITED, 60.0)
    pools.failed(ENDPOINT, 1, 0.0, FailureKind.RATE_LIMITED, 20.0)
    assert pools.wait(ENDPOINT, 5.0) == 15.0
    assert pools.take(ENDPOINT, 5.0, Random(1)) == 1


@pytest.mark.parametrize("kind", [FailureKind.KEY_REJECTED, FailureKind.QUOTA_EXHAUSTED])
def test_a_refused_key_is_out_for_minutes(kind: FailureKind) -> None:
    pools = pools_of(2)
    pools.failed(ENDPOINT, 0, 0.0, kind, None)
    assert {pools.take(ENDPOINT, OUT_SECONDS - 1, Random(seed)) for seed in range(30)} == {1}


def test_other_failures_are_not_the_keys() -> None:
    pools = pools_of(2)
    pools.failed(ENDPOINT, 0, 0.0, FailureKind.SERVER_ERROR, None)
    assert pools.wait(ENDPOINT, 0.0) == 0.0
    assert {pools.take(ENDPOINT, 0.0, Random(seed)) for seed in range(30)} == {0, 1}


def test_ends_of_calls_of_former_keys_change_nothing() -> None:
    counts = [3]
    pools = KeyPools(lambda _: counts[0])
    pools.take(ENDPOINT, 0.0, Random(1))
    counts[0] = 1
    pools.restart(ENDPOINT.id)
    pools.release(ENDPOINT, 2)
    pools.failed(ENDPOINT, 2, 0.0, FailureKind.RATE_LIMITED, 60.0)
    assert pools.take(ENDPOINT, 0.0, Random(1)) == 0
    assert not pools.has_several(ENDPOINT)
