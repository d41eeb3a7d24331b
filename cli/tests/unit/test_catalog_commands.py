from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from turnpike_cli.catalog_commands import catalog
from turnpike_cli.errors import CommandError

SHIPPED = Path(__file__).parents[3] / "catalog"
PROVIDERS = """\
providers:
  - slug: acme
    name: Acme
    base_url: https://api.acme.example
"""
MODELS = """\
models:
  - id: maker/thing
    name: Thing
    description: A thing.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    endpoints:
      - provider: acme
        upstream_model: thing
        price:
          prompt: "0.000001"
          completion: "0.000002"
        context_length: 1000
"""
FACTS = {
    "acme": {
        "models": {
            "thing": {
                "name": "Thing",
                "limit": {"context": 2000, "output": 0},
                "modalities": {"input": ["text"], "output": ["text"]},
                "cost": {"input": 2, "output": 4},
            }
        }
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catalog" / "models").mkdir(parents=True)
    (tmp_path / "catalog" / "providers.yaml").write_text(PROVIDERS)
    (tmp_path / "catalog" / "models" / "maker.yaml").write_text(MODELS)
    return tmp_path / "catalog"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(catalog, [str(each) for each in arguments])


def failure(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, CommandError), result.output
    return str(result.exception)


def test_the_shipped_catalogue_has_no_problem() -> None:
    result = run("lint", SHIPPED)
    assert result.exit_code == 0
    assert "no problems" in result.stderr
    assert result.stdout == ""


def test_every_problem_of_every_file_is_printed_with_its_line(folder: Path) -> None:
    models = folder / "models" / "maker.yaml"
    models.write_text(MODELS.replace('"0.000001"', "1").replace("context_length: 1000", "context_length: 0"))
    (folder / "more.yaml").write_text("modles: []\n")
    result = run("lint", folder)
    assert result.exit_code == 1
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == [
        f"{models}:12",
        f"{models}:14",
        f"{folder / 'more.yaml'}:1",
    ]


def test_an_unknown_quirk_is_printed_with_its_line_wherever_it_is_said(folder: Path) -> None:
    providers = folder / "providers.yaml"
    models = folder / "models" / "maker.yaml"
    providers.write_text(PROVIDERS + "    quirks: [no-developer-roll]\n")
    models.write_text(
        MODELS.replace("    endpoints:", "    quirks: [cache-points]\n    endpoints:")
        + "        quirks: [no-prefill]\n"
    )
    result = run("lint", folder)
    assert result.exit_code == 1
    assert [line.partition(" is ")[0] for line in result.stdout.splitlines()] == [
        f"{models}:8: quirks: none of the model's endpoints has a dialect that knows 'cache-points'",
        f"{models}:16: quirks: 'no-prefill'",
        f"{providers}:5: quirks: 'no-developer-roll'",
    ]


def test_providers_without_an_address_are_named_and_no_problem(folder: Path) -> None:
    assert "without an address" not in run("lint", folder).stderr
    providers = folder / "providers.yaml"
    providers.write_text(PROVIDERS.replace("api.acme", "{account}.acme"))
    result = run("lint", folder)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == "without an address until provider_overrides give one: acme"
    ours = folder / "ours.yaml"
    ours.write_text("provider_overrides:\n  - {slug: acme, base_url: 'https://ours.acme.example'}\n")
    assert "without an address" not in run("lint", folder).stderr
    assert run("diff", providers.parent, providers.parent).exit_code == 0


def test_several_folders_and_files_are_one_catalogue(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(MODELS.replace("maker/thing", "maker/other"))
    assert "2 models at 2 endpoints of 1 providers" in run("lint", folder, other).stderr
    assert run("lint", other).exit_code == 1, "its provider is not there"


def test_hidden_folders_are_left_out(folder: Path) -> None:
    (folder / ".old").mkdir()
    (folder / ".old" / "bad.yaml").write_text("bad")
    assert run("lint", folder).exit_code == 0


def test_a_folder_that_is_not_there_or_has_nothing_is_an_error(tmp_path: Path) -> None:
    assert "No such file" in failure("lint", tmp_path / "nowhere")
    assert "there is no *.yaml below it" in failure("lint", tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"\xe9")
    assert failure("lint", tmp_path) == f"{tmp_path / 'latin.yaml'}: not UTF-8"


def test_the_difference_is_shown_for_people_and_for_programs(folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(PROVIDERS + MODELS.replace('"0.000002"', '"0.000003"'))
    assert run("diff", folder, new).stdout.splitlines() == [
        "WHAT        WHERE             OLD  NEW  BY",
        "completion  maker/thing@acme  $2   $3   +50.0 %",
    ]
    changes = json.loads(run("diff", folder, new, "--json").stdout)["changes"]
    assert [(each["old"], each["new"], each["percent"]) for each in changes] == [("0.000002", "0.000003", "50.0")]
    assert run("diff", folder, folder).stdout == ""
    new.write_text(PROVIDERS + MODELS.replace('"0.000002"', "3"))
    assert failure("diff", folder, new).startswith(f"{new}:17: completion: must be text in quotes")


@pytest.mark.parametrize("compressed", [False, True])
def test_facts_are_brought_in(folder: Path, tmp_path: Path, compressed: bool) -> None:
    file = tmp_path / ("api.json.gz" if compressed else "api.json")
    text = json.dumps(FACTS).encode()
    file.write_bytes(gzip.compress(text) if compressed else text)
    arguments = ("import", "--from", "models-dev", file, "--catalog", folder, "--as-of", "2026-07-02")
    assert "1 file changed" in run(*arguments).stderr
    text_after = (folder / "models" / "maker.yaml").read_text()
    assert 'prompt: "0.000002"' in text_after
    assert "context_length: 2000" in text_after
    assert "0 files changed" in run(*arguments).stderr
    assert sorted(each.name for each in folder.rglob("*") if each.is_file()) == ["maker.yaml", "providers.yaml"]


def test_facts_can_go_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(json.dumps(FACTS))
    out = tmp_path / "out"
    run(
        "import",
        "--from",
        "models-dev",
        tmp_path / "api.json",
        "--catalog",
        folder,
        "--as-of",
        "2026-07-02",
        "--out",
        out,
    )
    assert (folder / "models" / "maker.yaml").read_text() == MODELS
    assert 'prompt: "0.000002"' in (out / "models" / "maker.yaml").read_text()


def test_nothing_is_written_when_the_result_would_be_faulty(folder: Path, tmp_path: Path) -> None:
    facts = json.loads(json.dumps(FACTS))
    facts["acme"]["models"]["thing"]["cost"]["input"] = 9e6
    (tmp_path / "api.json").write_text(json.dumps(facts))
    said = failure(
        "import", "--from", "models-dev", tmp_path / "api.json", "--catalog", folder, "--as-of", "2026-07-02"
    )
    assert "nothing was written" in said
    assert "models/maker.yaml:12: prompt: 9 is too large" in said
    assert (folder / "models" / "maker.yaml").read_text() == MODELS


def test_the_day_of_the_facts_must_be_known(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(json.dumps(FACTS))
    result = run("import", "--from", "models-dev", tmp_path / "api.json", "--catalog", folder)
    assert result.exit_code == 2
    assert "give --as-of" in result.stderr
    (tmp_path / "api.json").write_text("{")
    assert "not JSON" in failure("import", "--from", "models-dev", tmp_path / "api.json", "--catalog", folder)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"{}")[:-4])
    assert "not a whole gzip file" in failure(
        "import", "--from", "models-dev", tmp_path / "cut.gz", "--catalog", folder
    )
