"""The shell scripts run on any machine, and know every member."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = [ROOT / ".ci" / "run", *sorted((ROOT / "tools" / "build").glob("*.sh"))]
# The bash of macOS is 3.2, which knows none of these.
NEWER_THAN_3_2 = re.compile(
    r"\b(mapfile|readarray|coproc)\b|\b(declare|local) -[a-z]*[An]|\bwait -n\b|\|&|&>>|\$\{\w+(\^|,|@[A-Za-z])"
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_keeps_to_old_bash(script: Path) -> None:
    code = [line for line in script.read_text().splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in code if NEWER_THAN_3_2.search(line)] == []
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("line", ["mapfile -t x", "declare -A y", "wait -n", "a |& b", 'z="${w^^}"', 'v="${w,,}"'])
def test_newer_bash_is_found(line: str) -> None:
    assert NEWER_THAN_3_2.search(line)


def test_every_member_is_installed() -> None:
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    found = {path.parent for pattern in workspace for path in ROOT.glob(f"{pattern}/pyproject.toml")}
    assert {ROOT / line for line in (ROOT / "tools" / "build" / "members.txt").read_text().splitlines()} == found


def test_every_service_has_a_lock() -> None:
    services = {path.parent.name for path in ROOT.glob("services/*/pyproject.toml")}
    # The others are for the whole, and for environments that the tests make (`tests/clients`).
    others = {"bootstrap", "dev", "langchain-client", "litellm-client", "models", "node", "python-clients", "run"}
    assert services == {path.stem for path in (ROOT / "locks").glob("*.txt")} - others
