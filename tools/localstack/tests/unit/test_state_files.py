"""The state directory, the run file, the secrets and the credentials: what is in them and who may read them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from localstack.credentials import Credentials, read_credentials
from localstack.errors import StateDamagedError
from localstack.run_file import RunRecord, read_run_record
from localstack.secret_files import load_secrets, model_key_file
from localstack.state import StateDir, write_private

RECORD = RunRecord(
    base_url="http://127.0.0.1:1/api/v1",
    api_key="tp_live_x",
    management_key="tp_mgmt_x",
    postgres_dsn="postgresql://u:p@127.0.0.1:2/d",
    kafka_bootstrap="127.0.0.1:3",
    processes={"edge": {"pid": 4, "state": "ready", "log": "/l", "admin_url": "http://127.0.0.1:5"}},
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_are_closed_to_others(state: StateDir) -> None:
    # Root's database runs as another user, who must be able to pass through.
    assert mode(state.root) == (0o711 if os.geteuid() == 0 else 0o700)
    for directory in (state.secrets, state.logs, state.catalog, state.provider_keys, state.spool, state.edge):
        assert mode(directory) == 0o700


def test_state_where_no_directory_can_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDamagedError, match=r"cannot use .* for the state: Not a directory"):
        StateDir.at(tmp_path / "file" / "state").make()


def test_private_file_replaces_a_readable_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_run_record_is_private_and_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    RECORD.write(path)
    assert mode(path) == 0o600
    assert read_run_record(path) == RECORD


def test_run_record_does_not_show_its_secrets() -> None:
    for secret in (RECORD.api_key, RECORD.management_key, RECORD.postgres_dsn):
        assert secret not in repr(RECORD)


def test_no_run_record_is_none(tmp_path: Path) -> None:
    assert read_run_record(tmp_path / "run.json") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"base_url": "x"}', '{"unknown": 1}'])
def test_damaged_run_record_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(StateDamagedError, match=r"run\.json is not readable"):
        read_run_record(path)


def test_secrets_are_made_once_private_and_different(tmp_path: Path) -> None:
    made = load_secrets(tmp_path, ("model-a", "model-b"))
    assert load_secrets(tmp_path, ("model-a", "model-b")) == made
    assert (
        len(
            {made.pepper, made.postgres_password, made.serving_password, made.webhook_secret, *made.model_keys.values()}
        )
        == 6
    )
    assert len(made.pepper) >= 32
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}
    assert model_key_file(tmp_path, "model-a").read_text() == made.model_keys["model-a"]
    assert made.pepper not in repr(made)


def test_secret_that_is_cut_short_is_not_used(tmp_path: Path) -> None:
    load_secrets(tmp_path, ())
    (tmp_path / "pepper").write_text("short")
    with pytest.raises(StateDamagedError, match="pepper is cut short"):
        load_secrets(tmp_path, ())


def test_secret_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_bytes(b"\xff" * 40)
    with pytest.raises(StateDamagedError, match="cannot read or make the secret"):
        load_secrets(tmp_path, ())


def test_no_credentials_yet_are_empty_ones(tmp_path: Path) -> None:
    assert read_credentials(tmp_path / "credentials.json") == Credentials()


@pytest.mark.parametrize("text", ["", "[1]", '{"other": 1}'])
def test_damaged_credentials_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(StateDamagedError, match="delete it to have new keys made"):
        read_credentials(path)


def test_credentials_do_not_show_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps({"org_id": "o", "api_key": "tp_live_secret", "management_key": "tp_mgmt_secret"}))
    assert "secret" not in repr(read_credentials(path))
