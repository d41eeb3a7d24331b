"""A test that is skipped in CI fails there, unless its reason is listed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

SUITE = """
import pytest

def test_stops_itself():
    pytest.skip("no engine here")

@pytest.mark.skipif(True, reason="no engine here")
def test_is_marked():
    pass

@pytest.mark.xfail
def test_is_expected_to_fail():
    assert False
"""
MODULE = "import pytest\npytest.skip('no engine here', allow_module_level=True)\n"


def closing_line(folder: Path, *, ci: bool, allowed: str = "") -> tuple[int, str]:
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "tools" / "checks").mkdir(parents=True)
    (folder / "tools" / "checks" / "allowed_skips.txt").write_text(allowed)
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "test_module.py").write_text(MODULE)
    environment = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    if ci:
        environment["CI"] = "true"
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--continue-on-collection-errors",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "--rootdir",
            str(folder),
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout.strip().splitlines()[-1]


def test_skip_fails_in_ci(tmp_path: Path) -> None:
    status, line = closing_line(tmp_path, ci=True)
    assert status != 0
    assert "1 failed, 1 xfailed, 2 errors" in line


def test_skip_is_fine_on_a_laptop(tmp_path: Path) -> None:
    status, line = closing_line(tmp_path, ci=False)
    assert status == 0
    assert "3 skipped, 1 xfailed" in line


def test_listed_reason_is_fine_in_ci(tmp_path: Path) -> None:
    status, line = closing_line(tmp_path, ci=True, allowed="# why\nno engine here  # this is why\n")
    assert status == 0
    assert "3 skipped, 1 xfailed" in line
