"""Who probes what, and what need not be probed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import EndpointId
from contracts.testing.examples import iter_examples
from health_prober.adapters.observation_feed import sightings_from_bytes
from health_prober.domain.live_traffic import LiveTraffic, Sighting
from health_prober.domain.sharding import Shard, owner
from turnpike.health.v1 import observation_pb2 as wire

EXAMPLES = Path(__file__).parents[4] / "protos" / "examples"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
A = EndpointId("maker/thing@acme")
INTERVAL = timedelta(seconds=30)
ENDPOINTS = [EndpointId(f"maker/model-{number}@provider-{number % 7}") for number in range(1000)]


@given(endpoint_id=st.text(min_size=1).map(EndpointId), count=st.integers(1, 20))
def test_every_endpoint_is_probed_by_exactly_one_replica(endpoint_id: EndpointId, count: int) -> None:
    assert sum(Shard(index, count).owns(endpoint_id) for index in range(count)) == 1


@pytest.mark.parametrize("count", [2, 3, 5])
def test_replicas_share_evenly(count: int) -> None:
    shares = [len(Shard(index, count).owned(dict.fromkeys(ENDPOINTS))) for index in range(count)]
    assert sum(shares) == len(ENDPOINTS)
    assert all(0.8 < share * count / len(ENDPOINTS) < 1.2 for share in shares)


@given(count=st.integers(1, 12))
def test_another_replica_takes_its_share_and_nothing_else_moves(count: int) -> None:
    moved = Counter(
        owner(endpoint_id, count + 1)
        for endpoint_id in ENDPOINTS
        if owner(endpoint_id, count) != owner(endpoint_id, count + 1)
    )
    assert set(moved) == {count}
    assert moved.total() < 1.35 * len(ENDPOINTS) / (count + 1)


def traffic(*told: Sighting) -> LiveTraffic:
    made = LiveTraffic()
    made.watch([A])
    for sighting in told:
        made.note(A, sighting)
    return made


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("success", "failure", "healthy"),
    [
        (None, None, False),
        (None, 3, False),
        (3, None, True),
        (29.9, None, True),
        (30, None, False),
        (3, 5, True),
        (3, 3, False),
        (5, 3, False),
        # Clocks differ a little; one that is further ahead is wrong.
        (-4, None, True),
        (-6, None, False),
    ],
)
def test_a_success_within_the_interval_and_no_failure_since_is_health(
    success: float | None, failure: float | None, healthy: bool
) -> None:
    told = Sighting(None if success is None else ago(success), None if failure is None else ago(failure))
    assert traffic(told).shows_health(A, NOW, INTERVAL) is healthy


@given(
    st.permutations([Sighting(ago(9)), Sighting(ago(5), ago(7)), Sighting(None, ago(6)), Sighting(ago(20), ago(19))])
)
def test_the_order_in_which_it_is_told_does_not_matter(told: list[Sighting]) -> None:
    made = traffic(*told, *told)
    assert made.shows_health(A, NOW, INTERVAL)
    assert not made.shows_health(A, NOW, timedelta(seconds=5))


def test_only_what_is_watched_is_kept() -> None:
    other = EndpointId("maker/thing@bolt")
    made = traffic(Sighting(ago(1)))
    made.note(other, Sighting(ago(1)))
    made.watch([A, other])
    assert made.shows_health(A, NOW, INTERVAL)
    assert not made.shows_health(other, NOW, INTERVAL)
    made.watch([other])
    made.watch([A])
    assert not made.shows_health(A, NOW, INTERVAL)


def test_published_examples_are_understood() -> None:
    examples = dict(iter_examples(wire.Observation, EXAMPLES))
    data = examples["outage"].SerializeToString()
    found = dict(sightings_from_bytes(data, region="local"))
    at = found[EndpointId("huggingfacetb/smollm2-135m-instruct@local-a")]
    assert at == Sighting(datetime.fromtimestamp(1795514400.612, UTC), datetime.fromtimestamp(1795514400.873, UTC))
    assert found[EndpointId("huggingfacetb/smollm2-135m-instruct@local-b")].last_failure is None
    # Calls from elsewhere take another way than our probes.
    assert sightings_from_bytes(data, region="mars") == []
    limited = sightings_from_bytes(examples["rate_limited"].SerializeToString(), region="local")
    assert [sighting for _, sighting in limited] == [Sighting()]


@pytest.mark.parametrize(
    "data",
    [b"\xff", wire.Observation(endpoints=[wire.EndpointObservation(last_success_ms=2**62)]).SerializeToString()],
)
def test_what_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="observation"):
        sightings_from_bytes(data, region="")
