"""What is wrong with a command line, and what cannot be done: one line each, the right exit code, never a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from turnpike_cli.testing import RunningStack, Turnpike, turnpike_program

MISUSED, FAILED = 2, 1


def test_version_and_help(command: Turnpike) -> None:
    version = command("--version")
    assert (version.code, version.err) == (0, "")
    assert version.out.startswith("turnpike 0.")
    help_ = command("--help")
    assert help_.code == 0
    for name in ("up", "stack", "keys", "status"):
        assert f"  {name} " in help_.out


@pytest.mark.parametrize("arguments", [(), ("keys",), ("stack",)])
def test_no_command_shows_what_there_is(command: Turnpike, arguments: tuple[str, ...]) -> None:
    ended = command(*arguments)
    assert ended.code == MISUSED
    assert "Usage: turnpike" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dance",), "turnpike: No such command 'dance'."),
        (("up", "--dance"), "turnpike up: No such option '--dance'."),
        (("up", "--port", "65536"), "turnpike up: Invalid value for '--port'"),
        (("up", "--port", "x"), "turnpike up: Invalid value for '--port'"),
        (("up", "--catalog", "none"), "turnpike up: Invalid value for '--catalog'"),
        (("up", "--credit-usd", "-1"), "turnpike up: Invalid value for '--credit-usd'"),
        (("up", "--kafka", "elsewhere"), "turnpike up: Invalid value for '--kafka'"),
        (("stack", "stop"), "turnpike stack stop: Missing argument 'NAME'."),
        (("keys", "create"), "turnpike keys create: Missing argument 'NAME'."),
        (("keys", "create", "a", "--limit-usd", "much"), "turnpike keys create: Invalid value for '--limit-usd'"),
        (("keys", "revoke"), "turnpike keys revoke: Missing argument 'KEY'."),
    ],
)
def test_wrong_command_line_is_one_line(command: Turnpike, arguments: tuple[str, ...], message: str) -> None:
    ended = command(*arguments)
    assert ended.code == MISUSED
    assert ended.out == ""
    assert ended.err.startswith(message)
    assert ended.err.count("\n") == 1
    assert "--help" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("keys", "list"),
        ("keys", "create", "a"),
        ("keys", "revoke", "abcdef"),
        ("stack", "status"),
        ("stack", "stop", "edge"),
        ("stack", "start", "edge"),
        ("stack", "restart", "edge"),
    ],
)
def test_no_stack_runs_is_one_line(command: Turnpike, arguments: tuple[str, ...]) -> None:
    ended = command(*arguments)
    assert ended.code == FAILED
    assert ended.out == ""
    assert ended.err.startswith(
        f"turnpike: no stack is running in {command.cwd / '.turnpike'}; `turnpike up` starts one"
    )
    assert ended.err.count("\n") == 1
    assert not (command.cwd / ".turnpike").exists()


def test_taken_port_is_one_line(command: Turnpike) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        ended = command("up", "--port", str(port))
    assert ended.code == FAILED
    assert ended.err == (
        f"turnpike: port {port} is taken; choose another one with --port, or --port 0 for any free one\n"
    )


def test_state_where_none_can_be_is_one_line(command: Turnpike) -> None:
    (command.cwd / "file").write_text("")
    ended = command("up", "--state-dir", "file/state")
    assert ended.code == FAILED
    assert ended.err == f"turnpike: cannot use {command.cwd / 'file' / 'state'} for the state: Not a directory\n"


def test_invalid_catalogue_is_one_line(command: Turnpike) -> None:
    (command.cwd / "mine").mkdir()
    (command.cwd / "mine" / "mine.yaml").write_text("models: 3")
    ended = command("up", "--port", "0", "--no-models", "--catalog", "mine")
    assert ended.code == FAILED
    assert ended.err.startswith("turnpike: the catalogue is not valid: ")
    assert ended.err.count("\n") == 1


def test_wrong_setting_of_a_service_ends_the_start_with_its_name(command: Turnpike) -> None:
    ended = command("up", "--port", "0", "--no-models", EDGE_HTTP_BODY_LIMIT="huge")
    assert ended.code == FAILED
    assert ended.err.startswith("turnpike: edge ended with exit code 2; last words: EDGE_HTTP_BODY_LIMIT: ")
    assert ended.err.count("\n") == 1


def test_interrupted_start_leaves_nothing(tmp_path: Path) -> None:
    running = RunningStack(tmp_path / "state", "--port", "0")
    try:
        while "postgres is ready" not in running.output.read_text():
            assert running.process.poll() is None
        assert running.end(signal.SIGINT, signal.SIGINT) == 0
    finally:
        running.kill_if_running()
    assert not (tmp_path / "state" / "run.json").exists()
    assert not (tmp_path / "state" / "control.sock").exists()
    said = running.output.read_text()
    assert "stopped" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_base_url_at_which_nothing_answers_is_one_line(command: Turnpike) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ended = command("status", "--base-url", f"http://127.0.0.1:{port}", TURNPIKE_MANAGEMENT_KEY="tp_mgmt_secret")
    assert ended.code == FAILED
    assert ended.err.startswith(f"turnpike: nothing answers at http://127.0.0.1:{port}/api/v1 (")
    assert ended.err.count("\n") == 1
    assert "secret" not in ended.err


def test_output_that_nobody_reads_is_no_error_to_see(command: Turnpike) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(
            [turnpike_program(), "--help"], stdout=output, stderr=subprocess.PIPE, cwd=command.cwd, check=False
        )
    assert done.stderr == b""
    assert done.returncode in {0, FAILED}
