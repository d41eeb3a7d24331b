from __future__ import annotations

import stat
from pathlib import Path

import pytest

from contracts.catalog import parse_credentials
from localstack.catalog_files import read_catalog, render_local, shipped_catalog, write_credentials
from localstack.errors import StateDamagedError
from localstack.state import StateDir

ADDRESSES = {
    "SIM_URL": "http://127.0.0.1:1/v1",
    "SMOLLM2_A_URL": "http://127.0.0.1:2/v1",
    "SMOLLM2_B_URL": "http://127.0.0.1:3/v1",
}
TEMPLATES = shipped_catalog() / "local"


def keys_of(state: StateDir) -> dict[str, str]:
    files = [(str(path), path.read_text()) for path in state.provider_keys.glob("*.yaml")]
    return dict(parse_credentials(files))


def test_rendered_catalogue_is_valid_together_with_the_shipped_one(state: StateDir) -> None:
    render_local(TEMPLATES, state.catalog, ADDRESSES)
    catalog = read_catalog([shipped_catalog(), state.catalog])
    assert catalog.providers["local-a"].base_url == "http://127.0.0.1:2/v1"
    assert catalog.providers["sim"].simulated
    assert "huggingfacetb/smollm2-135m-instruct" in catalog.models


def test_provider_without_an_address_is_left_out_and_taken_out(state: StateDir) -> None:
    render_local(TEMPLATES, state.catalog, ADDRESSES)
    assert (state.catalog / "smollm2.yaml").exists()
    render_local(TEMPLATES, state.catalog, {"SIM_URL": "http://127.0.0.1:4/v1"})
    assert not (state.catalog / "smollm2.yaml").exists()
    assert "http://127.0.0.1:4/v1" in (state.catalog / "sim.yaml").read_text()


def test_catalogue_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("")
    with pytest.raises(StateDamagedError, match=r"cannot write the catalogue in .*: Not a directory"):
        render_local(TEMPLATES, target, ADDRESSES)


def test_invalid_catalogue_names_the_first_fault_and_counts_the_others(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("models: [{id: 3}]")
    with pytest.raises(StateDamagedError, match=r"^the catalogue is not valid: .*mine\.yaml:1: .* \(and \d+ more\)$"):
        read_catalog([tmp_path])


def test_credentials_hold_named_keys_and_none_for_other_providers_on_this_machine(state: StateDir) -> None:
    render_local(TEMPLATES, state.catalog, ADDRESSES)
    catalog = read_catalog([shipped_catalog(), state.catalog])
    write_credentials(state.provider_keys, {"local-a": "secret-a"}, catalog)
    assert keys_of(state) == {"local-a": "secret-a", "local-b": "", "sim": "", "sim-b": ""}
    assert stat.S_IMODE((state.provider_keys / "local.yaml").stat().st_mode) == 0o600


def test_keys_that_the_user_wrote_stay_theirs(state: StateDir) -> None:
    render_local(TEMPLATES, state.catalog, ADDRESSES)
    (state.provider_keys / "mine.yaml").write_text("openai: sk-theirs\nsim: theirs-too\n")
    write_credentials(state.provider_keys, {"local-a": "a"}, read_catalog([shipped_catalog(), state.catalog]))
    keys = keys_of(state)
    assert keys["openai"] == "sk-theirs"
    assert keys["sim"] == "theirs-too"
    assert keys["local-a"] == "a"


def test_invalid_keys_of_the_user_are_reported_without_showing_them(state: StateDir) -> None:
    (state.provider_keys / "mine.yaml").write_text("openai: sk-very-secret: [\n")
    with pytest.raises(StateDamagedError) as raised:
        write_credentials(state.provider_keys, {}, read_catalog([shipped_catalog()]))
    assert "mine.yaml" in str(raised.value)
    assert "sk-very-secret" not in str(raised.value)
