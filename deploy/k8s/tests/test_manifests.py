"""The manifests are valid, and every pod is as Pod Security's `restricted` and our own checklist want it."""

from __future__ import annotations

import fnmatch
from typing import Any

import kubernetes_validate
import pytest

Object = dict[str, Any]
# A role of a service runs out of the service's image.
IMAGES = {"broadcast": "metering"}
ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def pod_specs(workloads: dict[str, Object]) -> list[tuple[str, Object]]:
    return [(name, workload["spec"]["template"]["spec"]) for name, workload in workloads.items()]


def containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def matches(selector: Object, labels: Object) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_every_object_is_valid(objects: list[Object], version: str) -> None:
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


def test_every_service_is_there(workloads: dict[str, Object]) -> None:
    assert set(workloads) - {"broadcast"} == {"edge", "router", "health-prober", "metering", "accounts"}


def test_the_tree_holds_no_secret(objects: list[Object]) -> None:
    assert [each["metadata"]["name"] for each in objects if each["kind"] == "Secret"] == []


def test_s50_pods_are_restricted(workloads: dict[str, Object]) -> None:
    for name, spec in pod_specs(workloads):
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] >= 10000, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= ALLOWED_VOLUMES, (name, volume)


def test_s50_containers_can_do_nothing_special(workloads: dict[str, Object]) -> None:
    for name, spec in pod_specs(workloads):
        for container in containers(spec):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "hostPort" not in str(container), name


def test_s50_namespace_enforces_it(objects: list[Object]) -> None:
    (namespace,) = [each for each in objects if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"]
    assert set(others) == {namespace["metadata"]["name"]}


def test_s51_nothing_is_reachable_by_default(objects: list[Object]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_s19_only_router_prober_and_broadcast_reach_the_internet(objects: list[Object]) -> None:
    outward = {
        each["metadata"]["name"]
        for each in objects
        if each["kind"] == "NetworkPolicy"
        for rule in each["spec"].get("egress", [])
        if not rule.get("to") or any("ipBlock" in peer for peer in rule["to"])
    }
    assert outward - {"broadcast"} == {"router", "health-prober"}


def test_s15_the_internet_has_no_private_addresses(objects: list[Object]) -> None:
    blocks = [
        peer["ipBlock"]
        for each in objects
        if each["kind"] == "NetworkPolicy"
        for rule in each["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8"}
    assert blocks
    for block in blocks:
        assert block["cidr"] == "2000::/3" or private <= set(block["except"])


def test_s52_resources_spread_and_disruption(objects: list[Object], workloads: dict[str, Object]) -> None:
    budgets = {each["metadata"]["name"] for each in objects if each["kind"] == "PodDisruptionBudget"}
    assert budgets == set(workloads)
    for name, spec in pod_specs(workloads):
        assert {one["topologyKey"] for one in spec["topologySpreadConstraints"]} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }, name
        for container in containers(spec):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert set(container["resources"]["limits"]) == {"memory"}, name


def test_s52_liveness_asks_for_nothing_but_life(workloads: dict[str, Object]) -> None:
    for name, spec in pod_specs(workloads):
        for container in spec["containers"]:
            assert container["livenessProbe"]["httpGet"]["path"] != container["readinessProbe"]["httpGet"]["path"], name


def test_selectors_match_labels(objects: list[Object], workloads: dict[str, Object]) -> None:
    pods = {name: workload["spec"]["template"]["metadata"]["labels"] for name, workload in workloads.items()}
    for name, workload in workloads.items():
        assert matches(workload["spec"]["selector"]["matchLabels"], pods[name]), name
        for constraint in workload["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert matches(constraint["labelSelector"]["matchLabels"], pods[name]), name
    selectors = [
        *((each, each["spec"]["selector"]) for each in objects if each["kind"] == "Service"),
        *((each, each["spec"]["selector"]["matchLabels"]) for each in objects if each["kind"] == "PodDisruptionBudget"),
        *(
            (each, each["spec"]["podSelector"].get("matchLabels", {}))
            for each in objects
            if each["kind"] == "NetworkPolicy"
        ),
    ]
    for each, selector in selectors:
        chosen = {name for name, labels in pods.items() if matches(selector, labels)}
        own = each["metadata"]["name"]
        assert chosen == ({own} if own in pods else set(pods)), (each["kind"], own)


def test_ports_have_the_names_that_others_use(objects: list[Object], workloads: dict[str, Object]) -> None:
    ports = {
        name: {port["name"] for container in spec["containers"] for port in container["ports"]}
        for name, spec in pod_specs(workloads)
    }
    for service in (each for each in objects if each["kind"] == "Service"):
        for port in service["spec"].get("ports", []):
            assert port["targetPort"] in ports[service["metadata"]["name"]]
    for name, spec in pod_specs(workloads):
        for container in spec["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert container[probe]["httpGet"]["port"] in ports[name]


def test_no_service_links(workloads: dict[str, Object]) -> None:
    # With them Kubernetes sets EDGE_PORT and the like, which the services refuse as unknown settings.
    assert all(spec["enableServiceLinks"] is False for _, spec in pod_specs(workloads))


def test_images_are_ours_and_have_a_version(workloads: dict[str, Object]) -> None:
    for name, spec in pod_specs(workloads):
        for container in containers(spec):
            assert fnmatch.fnmatch(container["image"], f"turnpike/{IMAGES.get(name, name)}:[0-9]*")


def test_volumes_are_mounted_and_mounts_have_volumes(workloads: dict[str, Object]) -> None:
    for name, workload in workloads.items():
        spec = workload["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        mounts = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        assert mounts == volumes, name
