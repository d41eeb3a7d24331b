"""B4 is enumerated, not sampled: every failpoint is in a registry, and a test of its service kills it at each of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

import accounts.failpoints
import edge.failpoints
import metering.broadcast.failpoints
import metering.failpoints
import router.failpoints
from servicekit import journal, spool

SERVICES = Path(__file__).parents[2] / "services"
REGISTRIES: Mapping[str, tuple[str, ...]] = {
    "accounts": accounts.failpoints.POINTS,
    "edge": edge.failpoints.POINTS,
    "metering": metering.failpoints.POINTS,
    "metering.broadcast": metering.broadcast.failpoints.POINTS,
    "router": router.failpoints.POINTS,
}
SHARED = frozenset((*journal.POINTS, *spool.POINTS))
_REACHED = re.compile(r"\breach\(\s*\"([^\"]+)\"")


def reached(folder: Path) -> set[str]:
    """The failpoints that the code of a folder passes."""
    return {point for path in folder.rglob("*.py") for point in _REACHED.findall(path.read_text())}


def kill_tests(package: str) -> str:
    """The modules of tests that go through the registry of a package."""
    tests = SERVICES / package.partition(".")[0] / "tests"
    texts = [path.read_text() for path in tests.rglob("test_*.py")]
    return "\n".join(text for text in texts if f"from {package}.failpoints import POINTS" in text)


@pytest.mark.parametrize("package", REGISTRIES)
def test_b04_a_test_kills_the_service_at_each_failpoint_of_its_registry(package: str) -> None:
    tests, points = kill_tests(package), REGISTRIES[package]
    assert re.search(r"parametrize\([^\n]*\bPOINTS\b|for point in POINTS\b", tests), (
        f"no test of {package} runs them all"
    )
    assert f"{package.rpartition('.')[2].upper()}_FAILPOINTS" in tests
    assert len(set(points)) == len(points)


def test_b04_every_failpoint_in_the_code_is_in_a_registry_and_the_reverse() -> None:
    for service in {package.partition(".")[0] for package in REGISTRIES}:
        points: Collection[str] = {
            point for package, some in REGISTRIES.items() if package.partition(".")[0] == service for point in some
        }
        own = reached(SERVICES / service / "src")
        assert own <= set(points), "a failpoint that no test can be told of"
        assert set(points) - SHARED == own, "a failpoint that is registered and never passed"


def test_b04_the_failpoints_of_spool_and_journal_are_all_registered() -> None:
    assert reached(SERVICES.parent / "libs" / "servicekit" / "src") == SHARED
    assert set(router.failpoints.POINTS) == set(spool.POINTS)
    assert set(edge.failpoints.POINTS) == SHARED


def test_b04_no_other_package_has_failpoints() -> None:
    found = {
        ".".join(path.parent.parts[-2:]) if path.parent.parent.name != "src" else path.parent.name
        for path in SERVICES.glob("*/src/**/failpoints.py")
    }
    assert found == set(REGISTRIES)
