"""The rendered manifests, as the tests of this folder see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).resolve().parents[1]


# What is in the secrets, made up: by name and key.
SECRETS = {
    "accounts-audit-pepper": {"pepper": "made-up-" * 8},
    "accounts-oidc": {"client-secret": "made-up"},
    "accounts-owner": {"owner-dsn": "postgresql://owner:made-up@server.postgresql.svc:5432/turnpike"},
    "accounts-payments": {"api-key": "made-up", "webhook-secret": "made-up"},
    "accounts-store": {"postgres-dsn": "postgresql://turnpike:made-up@server.postgresql.svc:5432/turnpike"},
    "api-key-pepper": {"pepper": "made-up-" * 8, "previous": "another-" * 8},
    "byok-keks": {"keks.yaml": "current: made-up"},
    "generation-contents": {"key": "made-up-" * 8},
    "metering-store": {"clickhouse-dsn": "https://turnpike:made-up@server.clickhouse.svc:8443/turnpike"},
    "provider-credentials": {"credentials.yaml": "made-up: made-up"},
}
SCENARIOS = sorted(
    str(path.parent.relative_to(K8S))
    for kind in ("overlays", "tests")
    for path in K8S.glob(f"{kind}/*/kustomization.yaml")
)


@pytest.fixture(scope="session", params=SCENARIOS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Every object of an overlay, or of a combination of components that only tests have."""
    kubectl = Path(sys.executable).with_name("kubectl")
    rendered = subprocess.run(
        [str(kubectl), "kustomize", str(K8S / str(request.param))],
        check=True,
        capture_output=True,
        text=True,
    )
    return [document for document in yaml.safe_load_all(rendered.stdout) if document]


@pytest.fixture
def workloads(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Deployments and StatefulSets by name."""
    kinds = {"Deployment", "StatefulSet"}
    return {each["metadata"]["name"]: each for each in objects if each["kind"] in kinds}


@pytest.fixture
def environments(
    objects: list[dict[str, Any]], workloads: dict[str, dict[str, Any]]
) -> dict[tuple[str, str], dict[str, str]]:
    """The variables of every container, by (workload, container)."""
    maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, workload in workloads.items():
        spec = workload["spec"]["template"]["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            values: dict[str, str] = {}
            for source in container.get("envFrom", []):
                values |= maps[source["configMapRef"]["name"]]
            for variable in container.get("env", []):
                # The name of the first pod of a StatefulSet.
                otherwise = f"{name}-0" if "fieldRef" in variable.get("valueFrom", {}) else "made-up"
                values[variable["name"]] = variable.get("value") or otherwise
            found[name, container["name"]] = values
    return found


@pytest.fixture(scope="session")
def secrets() -> dict[str, dict[str, str]]:
    """What is in the secrets, by name and key."""
    return SECRETS


@pytest.fixture
def mounted(
    environments: dict[tuple[str, str], dict[str, str]], workloads: dict[str, dict[str, Any]]
) -> dict[tuple[str, str], dict[str, str]]:
    """By (workload, container), the secret at each path."""
    return {each: _mounts(workloads[each[0]], each[1]) for each in environments}


@pytest.fixture
def started(
    environments: dict[tuple[str, str], dict[str, str]], mounted: dict[tuple[str, str], dict[str, str]], tmp_path: Path
) -> dict[tuple[str, str], dict[str, str]]:
    """The same, with paths of secrets as they are on this machine: each container's files are in a folder of its own."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for (name, container), values in environments.items():
        root = tmp_path / name / container
        for path, secret in mounted[name, container].items():
            folder = root / path.lstrip("/")
            folder.mkdir(parents=True)
            for key, text in SECRETS[secret].items():
                (folder / key).write_text(f"{text}\n")
        found[name, container] = {
            variable: f"{root}{value}"
            if any(value.startswith(f"{path}/") for path in mounted[name, container])
            else value
            for variable, value in values.items()
        }
    return found


def _mounts(workload: dict[str, Any], container: str) -> dict[str, str]:
    """Where a container has which secrets."""
    spec = workload["spec"]["template"]["spec"]
    secrets = {each["name"]: each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}
    (found,) = [each for each in [*spec.get("initContainers", []), *spec["containers"]] if each["name"] == container]
    mounts = found.get("volumeMounts", [])
    return {mount["mountPath"]: secrets[mount["name"]] for mount in mounts if mount["name"] in secrets}
