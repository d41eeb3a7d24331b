"""What holds for every test: how they are spread, that none is skipped in CI unnoticed, that none is timed."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent
# What needs the whole of Turnpike as processes: one stack for all of it.
WHOLE_SYSTEM = ("tests/e2e/", "tests/clients/", "tests/contract/")
# What uses a stack of its own.
COMMAND_LINE = "cli/tests/integration/"
# What starts no process and needs little but its own worker.
PURE = ("libs/contracts/tests/", "libs/dialects/tests/", "protos/tests/", "tools/checks/tests/")
# Files that take a worker half a minute: at the end they would be what the others wait for.
SIMULATIONS = "services/router/tests/unit/"
BEFORE, SYSTEM, AFTER, LAST = range(4)
ALLOWED_SKIPS = ROOT / "tools" / "checks" / "allowed_skips.txt"

# Two folders share the one stack, so it cannot belong to either. A copy of this file in another tree has none.
pytest_plugins = ["e2e_support.fixtures"] if (ROOT / "tests" / "e2e_support").exists() else []

# No test asserts how fast something is, and an example that takes longer on a busy machine is no failure.
settings.register_profile("turnpike", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("turnpike")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka",
        choices=("embedded", "real"),
        default=os.environ.get("TURNPIKE_TEST_KAFKA", "embedded"),
        help="the broker that tests speak to; with real, a node of Apache Kafka (needs tools/kafka/fetch.sh), no others are run",
    )


def pytest_configure(config: pytest.Config) -> None:
    # For the local stacks that tests start; what the environment says of their broker does not count.
    os.environ["TURNPIKE_KAFKA"] = config.getoption("--kafka")
    os.environ["TURNPIKE_KAFKA_JARS"] = str(ROOT / ".kafka" / "jars")
    if config.getoption("--kafka") == "real":
        from localstack.kafka.class_archive import make_class_archive
        from localstack.testing.kafka_nodes import kafka_nodes_for_tests

        if not hasattr(config, "workerinput"):
            make_class_archive(ROOT / ".kafka" / "jars")
        nodes = ExitStack()
        nodes.enter_context(kafka_nodes_for_tests(ROOT / ".kafka" / "jars"))
        config.add_cleanup(nodes.close)


def allowed_skips(text: str) -> list[str]:
    """Read the reasons for which a test may be skipped even in CI: one a line, `#` starts a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def refused_skip(report: pytest.TestReport | pytest.CollectReport, allowed: list[str]) -> str | None:
    """Give the reason of a skip that CI does not accept, or None."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    return None if reason in allowed else reason


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not os.environ.get("CI"):
        return
    reason = refused_skip(report, allowed_skips(ALLOWED_SKIPS.read_text(encoding="utf-8")))
    if reason is not None:
        report.outcome = "failed"
        report.longrepr = (
            f"skipped in CI: {reason}\nA reason that is acceptable there is listed in {ALLOWED_SKIPS.name}."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail(report)
    return report


def pytest_collection_finish() -> None:
    """Spare what every test shares from being looked through again and again: a sixth of the CPU of a test of the edge."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_itemcollected(item: pytest.Item) -> None:
    if item.nodeid.startswith(WHOLE_SYSTEM):
        item.add_marker("e2e")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests of the whole system between those that start processes, and those that start none last.

    One worker has the whole system for minutes. It begins so late that it ends with the others, and the stack does not idle long.
    Within each group the random order stays. On Apache Kafka only those are run that speak to a broker.
    """
    if config.getoption("--kafka") == "real":
        from localstack.testing.broker_users import split_by_broker

        items[:], others = split_by_broker(items)
        config.hook.pytest_deselected(items=others)
    files = list(dict.fromkeys(scope_of(item.nodeid) for item in items if _turn(item, ()) == AFTER))
    before = set(files[: len(files) // 3])
    items.sort(key=lambda item: _turn(item, before))


def _turn(item: pytest.Item, before: Collection[str]) -> int:
    if item.nodeid.startswith(WHOLE_SYSTEM):
        return SYSTEM
    if item.nodeid.startswith(PURE) or ("/unit/" in item.nodeid and not item.nodeid.startswith(SIMULATIONS)):
        return LAST
    return BEFORE if scope_of(item.nodeid) in before else AFTER


_stacks: list[tuple[pytest.FixtureDef[Any], Any]] = []


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: Any) -> None:
    if fixturedef.argname == "stack" and fixturedef.scope == "session":
        _stacks.append((fixturedef, request))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Stop a stack of processes with its last test on this worker: ten that idle take a tenth of a core from the others."""
    yield
    if nextitem is None or scope_of(item.nodeid) != scope_of(nextitem.nodeid):
        while _stacks:
            fixture, request = _stacks.pop()
            fixture.finish(request)


def scope_of(nodeid: str) -> str:
    """Name what one worker runs without a break: a file, or the files that share a stack of processes."""
    if nodeid.startswith(WHOLE_SYSTEM):
        return "the whole system"
    return "the command line" if nodeid.startswith(COMMAND_LINE) else nodeid.partition("::")[0]


def pytest_xdist_auto_num_workers() -> int:
    """Give one worker more than there are cores: tests that start processes leave a quarter of two cores idle."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Give each worker one file at a time, and all tests of the whole system to the worker that is free first.

    A stack of processes is heavy, so two of them with models never run at once, and nothing else of that weight is beside it.
    """
    from xdist.scheduler import LoadFileScheduling

    class FilesThenEndToEnd(LoadFileScheduling):  # type: ignore[misc]  # xdist is published without types
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    config.option.loadscopereorder = False
    return FilesThenEndToEnd(config, log)
