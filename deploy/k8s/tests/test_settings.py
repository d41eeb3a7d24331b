"""What the manifests say is what the services read: names, ports, paths, times, addresses."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from servicekit.admin import AdminServer
from servicekit.liveness import Liveness
from servicekit.readiness import Readiness
from servicekit.settings import AdminSettings, ServiceSettings, TelemetrySettings, environment_names, load, secret_names
from servicekit.telemetry import Telemetry

Object = dict[str, Any]
Environments = dict[tuple[str, str], dict[str, str]]
README = Path(__file__).resolve().parents[1] / "README.md"
# No service is made of more components than this; what `wire` made is released like one more.
MOST_COMPONENTS = 16
# Closing the admin port (1 s) and flushing telemetry (3 s) come after the drain; a process that is stuck ends itself then.
AFTER_DRAIN = timedelta(seconds=5)


# A role of a service is a workload of its own, out of the service's image.
MODULES = {"broadcast": "metering.broadcast"}


def settings_type(service: str) -> type[ServiceSettings]:
    module = MODULES.get(service, service.replace("-", "_"))
    found: type[ServiceSettings] = importlib.import_module(f"{module}.settings").Settings
    return found


def own(values: dict[str, str], service: str) -> dict[str, str]:
    prefix = service.replace("-", "_").upper() + "_"
    return {name: value for name, value in values.items() if name.startswith(prefix)}


def test_every_variable_is_a_setting(environments: Environments) -> None:
    for (service, container), values in environments.items():
        settings = settings_type(service)
        known = {*environment_names(settings), *(f"{name}_FILE" for name in secret_names(settings))}
        unknown = set(values) - known - {"OTEL_EXPORTER_OTLP_ENDPOINT"}
        assert unknown == set(), (service, container)


def test_s53_secrets_are_mounted_files_and_no_variables(
    workloads: dict[str, Object], environments: Environments, mounted: Environments
) -> None:
    for (service, container), values in environments.items():
        text = str(workloads[service])
        assert "secretKeyRef" not in text
        assert "secretRef" not in text
        hidden = secret_names(settings_type(service))
        assert set(values) & hidden == set(), (service, container)
        for name, value in values.items():
            if name.removesuffix("_FILE") in hidden or name.endswith(("_SECRETS", "_KEKS")):
                assert value.rpartition("/")[0] in mounted[service, container], (service, container, name)


# What each container may read, at the most. The pepper goes where digests are made, the KEK where customers' keys are sealed and opened.
READERS = {
    ("edge", "edge"): {"api-key-pepper"},
    ("router", "router"): {"provider-credentials", "byok-keks"},
    ("health-prober", "health-prober"): {"provider-credentials"},
    ("metering", "metering"): {"metering-store"},
    ("broadcast", "broadcast"): {"byok-keks"},
    ("metering", "migrate"): {"metering-store"},
    ("accounts", "accounts"): {
        "accounts-store", "api-key-pepper", "byok-keks", "generation-contents", "accounts-payments", "accounts-oidc",
        "accounts-audit-pepper",
    },
    ("accounts", "migrate"): {"accounts-store", "accounts-owner", "api-key-pepper", "accounts-audit-pepper", "accounts-oidc"},
}  # fmt: skip


def test_s53_mounted_secrets_are_for_their_readers_only(workloads: dict[str, Object], mounted: Environments) -> None:
    for container, found in mounted.items():
        assert set(found.values()) <= READERS[container], container
    for name, workload in workloads.items():
        spec = workload["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
        for volume in spec["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] & 0o007 == 0, name
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for mount in container.get("volumeMounts", []):
                assert mount["name"] not in volumes or mount["readOnly"], name


def test_s53_every_secret_is_mounted_in_the_scenario_of_everything(
    mounted: Environments, secrets: dict[str, dict[str, str]], request: pytest.FixtureRequest
) -> None:
    found = {name for each in mounted.values() for name in each.values()}
    assert found <= set(secrets)
    if request.node.name.endswith("[tests/everything]"):
        assert found == set(secrets)


def test_every_container_would_start(started: Environments) -> None:
    for (service, _), values in started.items():
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


def test_drain_fits_into_the_grace_period(started: Environments, workloads: dict[str, Object]) -> None:
    for service, workload in workloads.items():
        spec = workload["spec"]["template"]["spec"]
        drain = load(settings_type(service), started[service, service]).drain
        longest = drain.longest(MOST_COMPONENTS + 1) + AFTER_DRAIN
        assert longest < timedelta(seconds=spec["terminationGracePeriodSeconds"]), service


def test_drain_waits_until_readiness_is_noticed(
    started: Environments, workloads: dict[str, Object], objects: list[Object]
) -> None:
    reached = {each["metadata"]["name"] for each in objects if each["kind"] == "Service" and "ports" in each["spec"]}
    for service in reached:
        (container,) = workloads[service]["spec"]["template"]["spec"]["containers"]
        probe = container["readinessProbe"]
        noticed = timedelta(seconds=probe["periodSeconds"] * (probe["failureThreshold"] + 1))
        assert load(settings_type(service), started[service, service]).drain.propagation >= noticed, service


@pytest.fixture
async def admin_url() -> AsyncIterator[str]:
    telemetry = Telemetry("test", "test-0", TelemetrySettings())
    server = AdminServer(AdminSettings(), Readiness(), Liveness(), telemetry)
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
        if name.endswith(("_TARGET", "_BYOK_ACCOUNTS"))
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
        assert any(pods[1] in rule["from"] for rule in policies[server]["ingress"]), (client, server)


@pytest.mark.parametrize(
    "setting", ["_KAFKA_BROKERS", "_POSTGRES_DSN_FILE", "_POSTGRES_OWNER_DSN_FILE", "_CLICKHOUSE_DSN_FILE"]
)
def test_stores_are_in_namespaces_that_may_be_reached(
    started: Environments, objects: list[Object], setting: str
) -> None:
    found = 0
    for (service, _), values in started.items():
        for name, text in values.items():
            if not name.endswith(setting):
                continue
            value = Path(text).read_text() if name.endswith("_FILE") else text
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
            if name.endswith(("_DIR", "_SECRETS", "_KEKS", "_FILE")):
                assert any(value == mount or value.startswith(mount + "/") for mount in mounts), (service, name)


def test_modules_of_init_containers_exist(workloads: dict[str, Object]) -> None:
    for name, workload in workloads.items():
        for container in workload["spec"]["template"]["spec"].get("initContainers", []):
            module = container["command"][-1]
            assert container["command"][:-1] == ["/opt/turnpike/bin/python", "-m"]
            assert importlib.util.find_spec(module) is not None, (name, module)


def test_every_secret_is_in_the_readme(workloads: dict[str, Object], secrets: dict[str, dict[str, str]]) -> None:
    text = README.read_text(encoding="utf-8")
    for workload in workloads.values():
        for volume in workload["spec"]["template"]["spec"]["volumes"]:
            if "secret" in volume:
                name = volume["secret"]["secretName"]
                keys = ", ".join(f"`{key}`" for key in secrets[name])
                assert f"| `{name}` | {keys} |" in text
