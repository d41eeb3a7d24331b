"""The rendered manifests, as the tests of this folder see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", params=sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml")))
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Every object of an overlay."""
    kubectl = Path(sys.executable).with_name("kubectl")
    rendered = subprocess.run(
        [str(kubectl), "kustomize", str(K8S / "overlays" / str(request.param))],
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
    """The variables of every container, by (workload, container); a made-up value where a secret would be."""
    maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    stand_ins = {
        "clickhouse-dsn": "https://turnpike:made-up@server.clickhouse.svc:8443/turnpike",
        "postgres-dsn": "postgresql://turnpike:made-up@server.postgresql.svc:5432/turnpike",
        "owner-dsn": "postgresql://owner:made-up@server.postgresql.svc:5432/turnpike",
        "pepper": "made-up-" * 8,
    }
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, workload in workloads.items():
        spec = workload["spec"]["template"]["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            values: dict[str, str] = {}
            for source in container.get("envFrom", []):
                values |= maps[source["configMapRef"]["name"]]
            for variable in container.get("env", []):
                origin = variable.get("valueFrom", {})
                secret = origin.get("secretKeyRef", {}).get("key", "")
                # The name of the first pod of a StatefulSet.
                otherwise = f"{name}-0" if "fieldRef" in origin else "made-up"
                values[variable["name"]] = variable.get("value") or stand_ins.get(secret, otherwise)
            found[name, container["name"]] = values
    return found
