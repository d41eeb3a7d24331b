"""The processes fit together: their settings are valid, their needs exist, and no command line holds a secret."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

import accounts.settings
import edge.settings
import health_prober.settings
import metering.broadcast.settings
import metering.settings
import router.settings
from localstack.brokers import Broker, embedded
from localstack.child import ChildSpec
from localstack.postgres import PostgresCluster
from localstack.processes import EMBEDDER, MODEL_SERVERS, SERVICES, Installation, choose_ports
from localstack.secret_files import load_secrets
from localstack.state import StateDir
from servicekit.settings import ServiceSettings, load

SETTINGS: dict[str, type[ServiceSettings]] = {
    "accounts": accounts.settings.Settings,
    "broadcast": metering.broadcast.settings.Settings,
    "edge": edge.settings.Settings,
    "health-prober": health_prober.settings.Settings,
    "metering": metering.settings.Settings,
    "router": router.settings.Settings,
}
# The most that any service has; its drain takes its reserve for each.
MOST_COMPONENTS = 9


def installation(
    state: StateDir,
    *,
    inherited: dict[str, str] | None = None,
    weights: str | None = "/w.gguf",
    embeds: bool = True,
    broker: Broker | None = None,
) -> Installation:
    ports = choose_ports(0, Random(1))
    return Installation(
        state=state,
        secrets=load_secrets(state.secrets, MODEL_SERVERS),
        ports=ports,
        database=PostgresCluster(Path("/pg/bin"), state.postgres, None),
        broker=broker or embedded(ports.main["broker"]),
        catalogs=(Path("/catalog"), state.catalog),
        weights=None if weights is None else Path(weights),
        embeds=embeds,
        threads=1,
        probe_interval="1s",
        inherited=inherited or {},
    )


def by_name(made: Installation) -> dict[str, ChildSpec]:
    return {spec.name: spec for spec in made.specs()}


def test_everything_runs(state: StateDir) -> None:
    specs = by_name(installation(state))
    assert set(specs) == {*SERVICES, *MODEL_SERVERS, EMBEDDER, "postgres", "broker", "sim", "payments"}


def test_without_weights_no_model_server_runs(state: StateDir) -> None:
    assert set(by_name(installation(state, weights=None, embeds=False))) == {
        *SERVICES,
        "postgres",
        "broker",
        "sim",
        "payments",
    }


def test_the_model_of_embeddings_listens_to_this_machine_only(state: StateDir) -> None:
    command = by_name(installation(state))[EMBEDDER].command
    assert command[command.index("--host") + 1] == "127.0.0.1"


def test_only_model_servers_may_be_missing(state: StateDir) -> None:
    assert {name for name, spec in by_name(installation(state)).items() if spec.optional} == {*MODEL_SERVERS, EMBEDDER}


def test_needs_are_processes_that_stop_later(state: StateDir) -> None:
    specs = by_name(installation(state))
    for spec in specs.values():
        for need in spec.needs:
            assert specs[need].stage > spec.stage


@pytest.mark.parametrize("service", SERVICES)
def test_settings_of_a_service_are_valid(state: StateDir, service: str) -> None:
    made = installation(state, inherited={"PATH": "/bin", f"{service.replace('-', '_').upper()}_LOG_LEVEL": "debug"})
    spec = by_name(made)[service]
    settings = load(SETTINGS[service], spec.environment)
    assert settings.log.level == "debug"
    assert spec.admin_url == f"http://{settings.admin.host}:{settings.admin.port}"
    assert settings.drain.longest(MOST_COMPONENTS) <= spec.grace


@pytest.mark.parametrize("service", SERVICES)
def test_how_the_parts_find_each_other_is_not_for_the_environment_to_say(state: StateDir, service: str) -> None:
    prefix = service.replace("-", "_").upper()
    inherited = {f"{prefix}_KAFKA_BROKERS": "elsewhere:9092", f"{prefix}_INSTANCE": "mine"}
    made = installation(state, inherited=inherited)
    environment = by_name(made)[service].environment
    assert environment[f"{prefix}_KAFKA_BROKERS"] == made.ports.address("broker")
    assert environment[f"{prefix}_INSTANCE"] == "mine"


async def test_brokers_elsewhere_are_spoken_to_and_not_waited_for(state: StateDir) -> None:
    specs = by_name(installation(state, broker=Broker("kafka-1:9092,kafka-2:9092", (), _ready)))
    assert "broker" not in specs
    for name in SERVICES:
        assert specs[name].environment[f"{name.replace('-', '_').upper()}_KAFKA_BROKERS"] == "kafka-1:9092,kafka-2:9092"
        assert set(specs[name].needs) <= set(specs) - {"broker"}


async def _ready() -> bool:
    return True


def test_probe_interval_paces_the_prober(state: StateDir) -> None:
    settings = load(health_prober.settings.Settings, by_name(installation(state))["health-prober"].environment)
    assert settings.schedule.interval == settings.schedule.unhealthy_interval == timedelta(seconds=1)


def test_no_secret_is_on_a_command_line_or_where_it_is_not_needed(state: StateDir) -> None:
    made = installation(state)
    secrets = made.secrets
    needed_by = {
        secrets.pepper: {"accounts", "edge"},
        secrets.postgres_password: {"accounts"},
        secrets.serving_password: {"accounts"},
        secrets.webhook_secret: {"accounts"},
        **{key: set[str]() for key in secrets.model_keys.values()},
    }
    for name, spec in by_name(made).items():
        for secret, users in needed_by.items():
            assert secret not in " ".join(spec.command)
            assert (secret in " ".join(spec.environment.values())) is (name in users)
            assert secret not in repr(spec)


def test_postgres_ends_sessions_when_it_stops_and_dies_whole_when_orphaned(state: StateDir) -> None:
    spec = by_name(installation(state))["postgres"]
    assert spec.stop_signal is signal.SIGINT
    assert spec.orphan_signal is signal.SIGQUIT
