"""Each image holds its service, what that imports, and nothing that the lock file does not name."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists())
SOURCES = {"protos": "protos/gen/"}


def dockerfile(service: str) -> str:
    return (ROOT / "deploy" / "docker" / f"{service}.Dockerfile").read_text(encoding="utf-8")


def members_of(pyproject: Path) -> set[str]:
    """The workspace members that a member needs, itself left out, by the names of their folders."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^a-z-]", requirement)[0] for requirement in project["dependencies"]}
    direct = {name.removeprefix("turnpike-") for name in names if name.startswith("turnpike-")}
    indirect = [members_of(ROOT / "libs" / name / "pyproject.toml") for name in direct if name != "protos"]
    return direct.union(*indirect)


@pytest.mark.parametrize("service", SERVICES)
def test_image_has_the_sources_that_the_service_imports(service: str) -> None:
    (copy,) = re.findall(r"^COPY (.+) /opt/turnpike/lib/python3\.11/site-packages/$", dockerfile(service), re.MULTILINE)
    members = members_of(ROOT / "services" / service / "pyproject.toml")
    wanted = {SOURCES.get(name, f"libs/{name}/src/") for name in members} | {f"services/{service}/src/"}
    assert set(copy.split()) == wanted


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports, those in functions and for types only too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {"google.rpc" if name.startswith("google.rpc") else name.partition(".")[0] for name in names}


def locked(service: str) -> set[str]:
    """The distributions in a lock."""
    text = (ROOT / "locks" / f"{service}.txt").read_text(encoding="utf-8")
    return {canonical(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("service", SERVICES)
def test_image_has_every_package_that_is_imported(service: str) -> None:
    (copy,) = re.findall(r"^COPY (.+) /opt/turnpike/lib/python3\.11/site-packages/$", dockerfile(service), re.MULTILINE)
    sources = [path for folder in copy.split() for path in (ROOT / folder).rglob("*.py") if "testing" not in path.parts]
    own = {path.name for folder in copy.split() for path in (ROOT / folder).iterdir()}
    distributions = dict(packages_distributions()) | {
        "google": ["protobuf"],
        "google.rpc": ["googleapis-common-protos"],
    }
    wanted = set().union(*map(imported, sources)) - own - set(sys.stdlib_module_names)
    missing = {name for name in wanted if not {canonical(each) for each in distributions[name]} & locked(service)}
    assert "grpc" in wanted or service == "health-prober"
    assert missing == set()


@pytest.mark.parametrize("service", SERVICES)
def test_s48_dependencies_are_locked_by_hash(service: str) -> None:
    text = dockerfile(service)
    assert f"COPY locks/{service}.txt /tmp/requirements.txt" in text
    assert "--require-hashes" in text
    assert "--only-binary :all:" in text


@pytest.mark.parametrize("service", SERVICES)
def test_image_runs_the_service_as_nobody_special(service: str) -> None:
    last_stage = dockerfile(service).rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last_stage
    assert f'ENTRYPOINT ["/opt/turnpike/bin/python", "-m", "{service.replace("-", "_")}"]' in last_stage
    assert "RUN" not in last_stage


@pytest.mark.parametrize("service", SERVICES)
def test_images_differ_in_what_they_hold_only(service: str) -> None:
    def shape(name: str) -> str:
        text = re.sub(r"^(COPY|EXPOSE|#).*$", r"\1", dockerfile(name), flags=re.MULTILINE)
        text = re.sub(r"^COPY\n", "", text, flags=re.MULTILINE)
        return text.replace(f'"{name.replace("-", "_")}"', '"SERVICE"')

    assert shape(service) == shape(SERVICES[0])


def test_context_lets_every_copied_path_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert "**/testing" in (ROOT / ".dockerignore").read_text().splitlines(), "doubles do not belong into an image"
    for service in SERVICES:
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(service), re.MULTILINE):
            for path in line.split():
                assert (ROOT / path).exists(), path
                assert any(Path(path).match(pattern) for pattern in allowed), path
