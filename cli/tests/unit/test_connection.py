from __future__ import annotations

from pathlib import Path

import pytest

from localstack.errors import StateDamagedError
from localstack.run_file import RunRecord
from turnpike_cli.connection import Connection, connection_to
from turnpike_cli.errors import CommandError

RECORD = RunRecord(
    base_url="http://127.0.0.1:1/api/v1",
    api_key="tp_live_local",
    management_key="tp_mgmt_local",
    postgres_dsn="postgresql://",
    kafka_bootstrap="127.0.0.1:2",
    processes={},
)


def test_without_a_base_url_the_local_stack_is_meant_with_its_own_key(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "run.json")
    expected = Connection("http://127.0.0.1:1/api/v1", "tp_mgmt_local")
    assert connection_to(None, None, tmp_path) == expected
    # A key of another Turnpike is not sent to this one.
    assert connection_to(None, "tp_mgmt_other", tmp_path) == expected


def test_key_of_the_local_stack_is_not_sent_elsewhere(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "run.json")
    with pytest.raises(
        CommandError, match=r"^set TURNPIKE_MANAGEMENT_KEY to a management key of https://t\.example, or"
    ):
        connection_to("https://t.example", None, tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://t.example", "https://t.example/api/v1"),
        ("https://t.example/", "https://t.example/api/v1"),
        ("https://t.example/api/v1/", "https://t.example/api/v1"),
        ("http://127.0.0.1:8787/v1", "http://127.0.0.1:8787/v1"),
    ],
)
def test_base_url_is_taken_as_people_write_it(tmp_path: Path, given: str, expected: str) -> None:
    assert connection_to(given, "tp_mgmt_x", tmp_path) == Connection(expected, "tp_mgmt_x")


@pytest.mark.parametrize("given", ["t.example", "ftp://t.example", "https://", "http://[", ""])
def test_what_is_no_base_url_is_one_line(tmp_path: Path, given: str) -> None:
    with pytest.raises(CommandError, match=r"is no base URL; one looks like https://"):
        connection_to(given, "tp_mgmt_x", tmp_path)


def test_no_stack_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no stack is running in .*; `turnpike up` starts one"):
        connection_to(None, None, tmp_path)


def test_damaged_run_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StateDamagedError):
        connection_to(None, None, tmp_path)


def test_connection_does_not_show_its_key() -> None:
    assert "tp_mgmt_local" not in repr(Connection("http://t", "tp_mgmt_local"))
