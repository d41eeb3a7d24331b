from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from health_prober.app import policy_of
from health_prober.settings import Settings
from servicekit.settings import SettingsError, load


def test_defaults_are_those_of_the_documentation() -> None:
    settings = load(Settings, {"HEALTH_PROBER_CATALOG_PATHS": "/a:/b"})
    assert settings.catalog.paths == (Path("/a"), Path("/b"))
    policy = policy_of(settings)
    assert policy.cadence.interval == timedelta(seconds=30)
    assert policy.cadence.unhealthy_interval == timedelta(seconds=10)
    assert policy.ttl == timedelta(seconds=90)
    assert policy.daily_cap == 100_000_000
    assert policy.cadence.jitter == 0.2
    assert (settings.shard_index, settings.shard.count) == (0, 1)
    assert settings.observations.enabled


def test_all_can_be_told() -> None:
    settings = load(
        Settings,
        {
            "HEALTH_PROBER_CATALOG_PATHS": "/a",
            "HEALTH_PROBER_PROVIDERS_SECRETS": "/keys.yaml",
            "HEALTH_PROBER_KAFKA_BROKERS": "k:9092",
            "HEALTH_PROBER_SCHEDULE_INTERVAL": "2s",
            "HEALTH_PROBER_SCHEDULE_UNHEALTHY_INTERVAL": "500ms",
            "HEALTH_PROBER_BUDGET_DAILY_USD": "1.5",
            "HEALTH_PROBER_STATE_DIR": "/state",
        },
    )
    assert settings.schedule.interval == timedelta(seconds=2)
    assert settings.budget.daily_usd == Decimal("1.5")
    assert settings.providers.secrets == Path("/keys.yaml")
    assert settings.state.dir == Path("/state")


def test_a_replica_knows_its_number_by_its_name() -> None:
    common = {"HEALTH_PROBER_CATALOG_PATHS": "/a", "HEALTH_PROBER_SHARD_COUNT": "12"}
    assert load(Settings, common | {"HEALTH_PROBER_INSTANCE": "health-prober-11"}).shard_index == 11
    assert load(Settings, common | {"HEALTH_PROBER_INSTANCE": "x", "HEALTH_PROBER_SHARD_INDEX": "3"}).shard_index == 3
    for instance in ("health-prober-12", "health-prober", "health-prober-x", "health-prober-²"):
        with pytest.raises(SettingsError):
            load(Settings, common | {"HEALTH_PROBER_INSTANCE": instance})
    # Alone it probes everything, whatever it is called.
    alone = {"HEALTH_PROBER_CATALOG_PATHS": "/a", "HEALTH_PROBER_INSTANCE": "health-prober-5"}
    assert load(Settings, alone).shard_index == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEALTH_PROBER_SCHEDULE_INTERVAL", "0"),
        ("HEALTH_PROBER_SCHEDULE_INTERVAL", "5m"),
        ("HEALTH_PROBER_SCHEDULE_JITTER", "0.9"),
        ("HEALTH_PROBER_SCHEDULE_CONCURRENCY", "0"),
        ("HEALTH_PROBER_SHARD_COUNT", "0"),
        ("HEALTH_PROBER_SHARD_INDEX", "1"),
        ("HEALTH_PROBER_VERDICT_TTL", "30s"),
        ("HEALTH_PROBER_BUDGET_DAILY_USD", "-1"),
        ("HEALTH_PROBER_BUDGET_DAILY_USD", "0.0000000001"),
        ("HEALTH_PROBER_BUDGET_DAILY_USD", "NaN"),
        ("HEALTH_PROBER_CATALOG_PATHS", ""),
        ("HEALTH_PROBER_COLOUR", "red"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError):
        load(Settings, {"HEALTH_PROBER_CATALOG_PATHS": "/a"} | {name: value})
