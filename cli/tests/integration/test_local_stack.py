"""Every command against a real stack (without the model, so that it starts quickly)."""

from __future__ import annotations

import json
import signal
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts import api_keys
from turnpike_cli.testing import Ended, RunningStack, Turnpike

PROCESSES = {
    *("postgres", "broker", "sim", "payments"),
    *("accounts", "metering", "broadcast", "router", "health-prober", "edge"),
}


def run_record(stack: RunningStack) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((stack.state_dir / "run.json").read_text())
    return record


def on(stack: RunningStack, command: Turnpike, *arguments: str) -> Ended:
    return command(*arguments, TURNPIKE_STATE_DIR=str(stack.state_dir))


def status_with(record: dict[str, Any], key: str) -> int:
    """The status that a completion gets with an API key."""
    body = {"model": "sim/echo", "max_tokens": 4, "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(
        f"{record['base_url']}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return int(error.code)


def test_run_file_says_how_to_reach_everything_and_is_private(stack: RunningStack) -> None:
    record = run_record(stack)
    assert stat.S_IMODE((stack.state_dir / "run.json").stat().st_mode) == 0o600
    assert record["base_url"].endswith("/api/v1")
    assert api_keys.parse(record["api_key"]) is api_keys.ApiKeyKind.INFERENCE
    assert api_keys.parse(record["management_key"]) is api_keys.ApiKeyKind.MANAGEMENT
    assert record["postgres_dsn"].startswith("postgresql://")
    assert record["kafka_bootstrap"].startswith("127.0.0.1:")
    assert set(record["processes"]) == PROCESSES
    for process in record["processes"].values():
        assert psutil.pid_exists(process["pid"])
        assert Path(process["log"]).exists()
        assert process["state"] == "ready"


def test_start_says_how_to_use_it_and_shows_progress(stack: RunningStack) -> None:
    said = stack.output.read_text()
    record = run_record(stack)
    for name in PROCESSES:
        assert f"{name} is ready" in said
    assert f"base URL  {record['base_url']}" in said
    assert record["api_key"] in said
    assert record["management_key"] not in said
    assert str(stack.state_dir / "logs") in said
    curl = next(line for line in said.splitlines() if line.startswith("curl "))
    assert f"{record['base_url']}/chat/completions" in curl


def test_second_stack_in_the_same_place_is_refused(stack: RunningStack, command: Turnpike) -> None:
    ended = on(stack, command, "up", "--port", "0")
    assert ended.code == 1
    assert ended.err == (
        f"turnpike: a stack is already running in {stack.state_dir} (pid {stack.process.pid}); "
        "stop it, or use another --state-dir\n"
    )
    assert (stack.state_dir / "run.json").exists()


def test_status_shows_the_credit(stack: RunningStack, command: Turnpike) -> None:
    shown = on(stack, command, "status")
    assert shown.code == 0
    assert "credit usd      $2.5\n" in shown.out
    found = json.loads(on(stack, command, "status", "--json").out)
    assert found["base_url"] == run_record(stack)["base_url"]
    assert found["credit_usd"] == "2.5"
    assert found["models"] > 0


def test_key_is_made_works_is_listed_and_revoked(stack: RunningStack, command: Turnpike) -> None:
    made = on(stack, command, "keys", "create", "for a test", "--limit-usd", "0.25")
    assert made.code == 0
    key = made.out.strip()
    assert api_keys.parse(key) is api_keys.ApiKeyKind.INFERENCE
    assert key not in made.err
    assert status_with(run_record(stack), key) == 200

    listed = on(stack, command, "keys", "list")
    assert key not in listed.out
    row = next(line for line in listed.out.splitlines() if line.startswith("for a test"))
    assert api_keys.label(key) in row
    assert "$0.25" in row
    rows = json.loads(on(stack, command, "keys", "list", "--json").out)
    digest = next(each["hash"] for each in rows if each["name"] == "for a test")

    revoked = on(stack, command, "keys", "revoke", digest[:10])
    assert (revoked.code, revoked.err) == (0, f"revoked the key 'for a test' ({api_keys.label(key)})\n")
    assert "for a test" not in on(stack, command, "keys", "list", "--all").out
    assert on(stack, command, "keys", "revoke", digest[:10]).code == 1


def test_key_is_named_and_managed_with_another_address_too(stack: RunningStack, command: Turnpike) -> None:
    record = run_record(stack)
    base_url = record["base_url"].removesuffix("/api/v1")
    named = {"TURNPIKE_BASE_URL": base_url, "TURNPIKE_MANAGEMENT_KEY": record["management_key"]}
    assert command("keys", "list", **named).code == 0
    ended = command("keys", "list", **{**named, "TURNPIKE_MANAGEMENT_KEY": record["api_key"]})
    assert ended.code == 1
    assert ended.err.startswith("turnpike: refused with status 403: ")
    assert record["api_key"] not in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keys", "create", " "), "refused with status 400: "),
        (("keys", "create", "a", "--expires-at", "tomorrow"), "refused with status 400: expires_at"),
        (("keys", "create", "a", "--expires-at", "2001-01-01T00:00:00Z"), "refused with status 400: "),
    ],
)
def test_what_the_api_refuses_is_one_line(
    stack: RunningStack, command: Turnpike, arguments: tuple[str, ...], message: str
) -> None:
    ended = on(stack, command, *arguments)
    assert ended.code == 1
    assert ended.err.startswith(f"turnpike: {message}")
    assert ended.err.count("\n") == 1


def test_process_is_stopped_and_started(stack: RunningStack, command: Turnpike) -> None:
    before = run_record(stack)["processes"]["sim"]["pid"]
    assert on(stack, command, "stack", "stop", "sim").code == 0
    assert run_record(stack)["processes"]["sim"]["state"] == "held"
    shown = on(stack, command, "stack", "status", "sim").out.splitlines()
    assert [line.split()[:2] for line in shown] == [["NAME", "STATE"], ["sim", "held"]]
    assert on(stack, command, "stack", "start", "sim").code == 0
    assert run_record(stack)["processes"]["sim"]["state"] == "ready"
    assert on(stack, command, "stack", "restart", "sim").code == 0
    after = json.loads(on(stack, command, "stack", "status", "--json").out)
    assert set(after) == PROCESSES
    assert after["sim"]["pid"] not in {0, before}


def test_unknown_process_is_one_line_with_the_known_ones(stack: RunningStack, command: Turnpike) -> None:
    ended = on(stack, command, "stack", "stop", "nobody")
    assert ended.code == 1
    assert ended.err.startswith("turnpike: no process 'nobody'; there are postgres, broker, ")
    assert on(stack, command, "stack", "status", "nobody").code == 2


@pytest.mark.timeout(240)  # two stacks, one after the other
def test_second_start_keeps_keys_and_credit_and_a_stop_leaves_nothing(tmp_path: Path, command: Turnpike) -> None:
    state_dir = tmp_path / "state"
    records = []
    for signals in ((signal.SIGTERM,), (signal.SIGHUP,)):
        running = RunningStack(state_dir, "--port", "0")
        try:
            running.wait_ready()
            records.append(run_record(running))
            assert json.loads(on(running, command, "status", "--json").out)["credit_usd"] == "10"
            assert running.end(*signals) == 0, running.output.read_text()
        finally:
            running.kill_if_running()
        assert not (state_dir / "run.json").exists()
        assert not any(_runs(process["pid"]) for process in records[-1]["processes"].values())
    first, second = records
    assert (first["api_key"], first["management_key"]) == (second["api_key"], second["management_key"])


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
