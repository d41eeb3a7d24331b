"""What the manifests say is what the services read: names, ports, paths, times, addresses."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import aiohttp
import pytest
from pydantic import SecretStr

from servicekit.admin import AdminServer
from servicekit.readiness import Readiness
from servicekit.settings import AdminSettings, ServiceSettings, TelemetrySettings, environment_names, load
from servicekit.telemetry import Telemetry

Object = dict[str, Any]
Environments = dict[tuple[str, str], dict[str, str]]
README = Path(__file__).resolve().parents[1] / "README.md"
# No service is made of more components than this; what `wire` made is released like one more.
MOST_COMPONENTS = 16
# Closing the admin port (1 s) and flushing telemetry (3 s) come after the drain; a process that is stuck ends itself then.
AFTER_DRAIN = timedelta(seconds=5)


def settings_type(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = importlib.import_module(f"{service.replace('-', '_')}.settings").Settings
    return found


def secret_names(settings: type[ServiceSettings]) -> set[str]:
    """The variables that hold a secret."""
    return {name for name, path in environment_names(settings).items() if SecretStr in kinds(settings, path)}


def kinds(model: Any, path: tuple[str, ...]) -> tuple[Any, ...]:
    """The type of a setting, and what it is made of."""
    for part in path:
        model = model.model_fields[part].annotation
    return (model, *get_args(model))


def own(values: dict[str, str], service: str) -> dict[str, str]:
    prefix = service.replace("-", "_").upper() + "_"
    return {name: value for name, value in values.items() if name.startswith(prefix)}


def test_every_variable_is_a_setting(environments: Environments) -> None:
    for (service, container), values in environments.items():
        unknown = set(values) - set(environment_names(settings_type(service))) - {"OTEL_EXPORTER_OTLP_ENDPOINT"}
        assert unknown == set(), (service, container)


def test_s53_secrets_are_references(workloads: dict[str, Object], environments: Environments) -> None:
    for service, workload in workloads.items():
        secrets = secret_names(settings_type(service))
        spec = workload["spec"]["template"]["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            referenced = {
                variable["name"] for variable in container["env"] if "secretKeyRef" in variable.get("valueFrom", {})
            }
            # Kafka's password is optional and not set here.
            assert referenced == secrets & set(environments[service, container["name"]]), (service, container["name"])
            assert "secretRef" not in str(container.get("envFrom", [])), service


def test_s53_mounted_secrets_are_for_their_readers_only(workloads: dict[str, Object]) -> None:
    for name, workload in workloads.items():
        spec = workload["spec"]["template"]["spec"]
        mounted = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
        assert mounted == ({"provider-credentials"} if name in ("router", "health-prober") else set())
        for volume in spec["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] & 0o007 == 0, name
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for mount in container.get("volumeMounts", []):
                assert mount["name"] not in mounted or mount["readOnly"], name


def test_every_container_would_start(environments: Environments) -> None:
    for (service, _), values in environments.items():
        load(settings_type(service), values)


def test_every_part_of_the_probers_work_has_a_replica(environments: Environments, workloads: dict[str, Object]) -> None:
    values = environments["health-prober", "health-prober"]
    assert workloads["health-prober"]["spec"]["replicas"] == int(values["HEALTH_PROBER_SHARD_COUNT"])


def test_servers_listen_where_the_ports_are(environments: Environments, workloads: dict[str, Object]) -> None:
    for service, workload in workloads.items():
        values = environments[service, service]
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]:
            prefix = service.replace("-", "_").upper() + "_" + port["name"].upper()
            assert values[f"{prefix}_PORT"] == str(port["containerPort"]), (service, port["name"])
            assert values[f"{prefix}_HOST"] == "0.0.0.0", (service, port["name"])


def test_drain_fits_into_the_grace_period(environments: Environments, workloads: dict[str, Object]) -> None:
    for service, workload in workloads.items():
        spec = workload["spec"]["template"]["spec"]
        drain = load(settings_type(service), environments[service, service]).drain
        longest = drain.longest(MOST_COMPONENTS + 1) + AFTER_DRAIN
        assert longest < timedelta(seconds=spec["terminationGracePeriodSeconds"]), service


def test_drain_waits_until_readiness_is_noticed(
    environments: Environments, workloads: dict[str, Object], objects: list[Object]
) -> None:
    reached = {each["metadata"]["name"] for each in objects if each["kind"] == "Service" and "ports" in each["spec"]}
    for service in reached:
        (container,) = workloads[service]["spec"]["template"]["spec"]["containers"]
        probe = container["readinessProbe"]
        noticed = timedelta(seconds=probe["periodSeconds"] * (probe["failureThreshold"] + 1))
        assert load(settings_type(service), environments[service, service]).drain.propagation >= noticed, service


@pytest.fixture
async def admin_url() -> AsyncIterator[str]:
    telemetry = Telemetry("test", "test-0", TelemetrySettings())
    server = AdminServer(AdminSettings(), Readiness(), telemetry)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()
    await telemetry.shutdown()


async def test_probes_ask_for_what_is_served(workloads: dict[str, Object], admin_url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for workload in workloads.values():
            (container,) = workload["spec"]["template"]["spec"]["containers"]
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container[name]["httpGet"]
                async with session.get(admin_url + probe["path"]) as answer:
                    assert answer.status in (200, 503)
                assert probe["port"] == "admin"


def egress(objects: list[Object], service: str) -> list[Object]:
    (policy,) = [each for each in objects if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == service]
    rules: list[Object] = policy["spec"]["egress"]
    return rules


def test_grpc_targets_are_services_that_may_be_reached(environments: Environments, objects: list[Object]) -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Service"}
    policies = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "NetworkPolicy"}
    targets = {
        (client, value)
        for (client, _), values in environments.items()
        for name, value in values.items()
        if name.endswith("_TARGET")
    }
    assert targets
    for client, value in targets:
        match = re.fullmatch(r"dns:///([a-z-]+):(\d+)", value)
        assert match is not None, value
        server, port = match[1], int(match[2])
        assert services[server]["clusterIP"] == "None"
        assert port in [each["port"] for each in services[server]["ports"]]
        pods = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}} for name in (server, client)]
        assert any(rule["to"] == pods[:1] for rule in egress(objects, client)), (client, server)
        assert any(rule["from"] == pods[1:] for rule in policies[server]["ingress"]), (client, server)


@pytest.mark.parametrize("setting", ["_KAFKA_BROKERS", "_POSTGRES_DSN", "_POSTGRES_OWNER_DSN", "_CLICKHOUSE_DSN"])
def test_stores_are_in_namespaces_that_may_be_reached(
    environments: Environments, objects: list[Object], setting: str
) -> None:
    found = 0
    for (service, _), values in environments.items():
        for name, value in values.items():
            if not name.endswith(setting):
                continue
            match = re.search(r"[\w-]+\.([\w-]+)\.svc:(\d+)", value)
            assert match is not None, (service, value)
            peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": match[1]}}}]
            allowed = [rule for rule in egress(objects, service) if rule["to"] == peers]
            assert any(int(match[2]) == port["port"] for rule in allowed for port in rule["ports"]), (service, value)
            found += 1
    assert found


def test_folders_are_on_volumes(environments: Environments, workloads: dict[str, Object]) -> None:
    for service, workload in workloads.items():
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        for name, value in own(environments[service, service], service).items():
            if name.endswith(("_DIR", "_SECRETS")):
                assert any(value == mount or value.startswith(mount + "/") for mount in mounts), (service, name)


def test_modules_of_init_containers_exist(workloads: dict[str, Object]) -> None:
    for name, workload in workloads.items():
        for container in workload["spec"]["template"]["spec"].get("initContainers", []):
            module = container["command"][-1]
            assert container["command"][:-1] == ["/opt/turnpike/bin/python", "-m"]
            assert importlib.util.find_spec(module) is not None, (name, module)


def test_every_secret_is_in_the_readme(workloads: dict[str, Object]) -> None:
    text = README.read_text(encoding="utf-8")
    for workload in workloads.values():
        spec = workload["spec"]["template"]["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for variable in container.get("env", []):
                if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert f"| `{secret['name']}` | `{secret['key']}` |" in text
        for volume in spec["volumes"]:
            if "secret" in volume:
                assert f"| `{volume['secret']['secretName']}` |" in text
