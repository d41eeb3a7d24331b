"""Every house rule catches what it forbids and leaves alone what it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from house.registry import RULES, violations
from house.source import Source, iter_sources

USE_CASE = "services/edge/src/edge/completions.py"
DOMAIN = "services/edge/src/edge/domain/admission.py"
ROLE = "services/metering/src/metering/broadcast/domain/spans.py"
LIBRARY = "libs/contracts/src/contracts/ids.py"
ADAPTER = "services/edge/src/edge/adapters/keys.py"
TEST = "services/edge/tests/unit/test_admission.py"
LONG = "pass\n" * 401

FORBIDDEN = [
    ("module-length", USE_CASE, LONG),
    ("unfinished", USE_CASE, "# TO" + "DO: later\n"),
    ("unfinished", USE_CASE, 'def f() -> None:\n    """Half done.\n\n    FIX' + 'ME\n    """\n'),
    ("unfinished", "deploy/k8s/base/edge/service.yaml", "# FIX" + "ME\n"),
    ("module-name", "services/edge/src/edge/utils.py", ""),
    ("module-name", "libs/contracts/src/contracts/common/ids.py", ""),
    ("class-name", USE_CASE, "class KeyManager:\n    pass\n"),
    ("class-name", USE_CASE, "class IKeys:\n    pass\n"),
    ("class-name", TEST, "class MockKeys:\n    pass\n"),
    ("tests-package", "services/edge/tests/unit/__init__.py", ""),
    ("suppression", USE_CASE, "import os  # noqa\n"),
    ("suppression", USE_CASE, "import os  # noqa: F401\n"),
    ("suppression", USE_CASE, "x: int = ''  # type: ignore\n"),
    ("suppression", USE_CASE, "x: int = ''  # type: ignore[assignment]\n"),
    ("suppression", USE_CASE, "x: int = ''  # type: ignore[assignment]  # noqa: E501\n"),
    ("suppression", USE_CASE, "# ruff: noqa: F401\n"),
    ("unbounded-queue", USE_CASE, "import asyncio\nq = asyncio.Queue()\n"),
    ("unbounded-queue", USE_CASE, "from asyncio import Queue\nq = Queue[int](0)\n"),
    ("unbounded-queue", USE_CASE, "import queue\nq = queue.SimpleQueue()\n"),
    ("unbounded-queue", USE_CASE, "import queue\nq = queue.Queue(maxsize=-1)\n"),
    ("unowned-task", USE_CASE, "import asyncio\nasyncio.get_running_loop().create_task(work())\n"),
    ("unowned-task", USE_CASE, "self._loop.create_task(work())\n"),
    ("patching", TEST, "def test_x(monkeypatch):\n    monkeypatch.setattr('a.b', 1)\n"),
    ("built-sql", ADAPTER, "db.execute(f'DELETE FROM keys WHERE id = {key}')\n"),
    ("built-sql", ADAPTER, "db.execute('DELETE FROM keys WHERE id = %s' % key)\n"),
    ("built-sql", ADAPTER, "db.execute('DELETE FROM keys WHERE id = ' + key)\n"),
    ("built-sql", ADAPTER, "text('SELECT {}'.format(key))\n"),
    ("built-sql", ADAPTER, "text('SELECT ' + 'id ' + 'FROM ' + table)\n"),
    ("built-sql", ADAPTER, "text(f'SELECT {COLUMNS} FROM {table}')\n"),
    ("built-sql", ADAPTER, "def f(key):\n    sql = f'SELECT {key}'\n    return client.query(sql)\n"),
    ("environment", USE_CASE, "import os\nx = os.environ['A']\n"),
    ("environment", ADAPTER, "from os import getenv\nx = getenv('A')\n"),
    ("clock", USE_CASE, "import time\nx = time.monotonic()\n"),
    ("clock", DOMAIN, "from datetime import UTC, datetime\nx = datetime.now(UTC)\n"),
    ("clock", USE_CASE, "from uuid import uuid4\nx = uuid4()\n"),
    ("clock", USE_CASE, "import random\nx = random.random()\n"),
    ("clock", "libs/contracts/src/contracts/ids.py", "import secrets\nx = secrets.token_hex()\n"),
    ("pure-domain", DOMAIN, "import aiohttp\n"),
    ("pure-domain", DOMAIN, "import asyncio\n"),
    ("pure-domain", DOMAIN, "from turnpike.usage.v1 import usage_event_pb2\n"),
    ("pure-domain", DOMAIN, "from edge.adapters import keys\n"),
    ("pure-domain", DOMAIN, "from edge import completions\n"),
    ("pure-domain", DOMAIN, "import servicekit\n"),
    ("pure-domain", ROLE, "from metering.broadcast.adapters import otlp\n"),
    ("pure-library", LIBRARY, "import urllib.request\n"),
    ("pure-library", LIBRARY, "from urllib import request\n"),
    ("log-event", ADAPTER, "log.info('Could not connect')\n"),
    ("log-event", ADAPTER, "self._log.warning(f'{x}.failed')\n"),
    ("metric-name", ADAPTER, "meter.create_counter('requests')\n"),
    ("place", "README.md", "see /ho" + "me/somebody/turnpike\n"),
    ("place", "Makefile", "pip install --index" + "-url x\n"),
    ("place", "deploy/docker/edge.Dockerfile", "FROM ghcr" + ".io/x/y:1\n"),
    ("path-hook", "services/edge/src/edge.pth", "import edge\n"),
]

PERMITTED = [
    (USE_CASE, "pass\n" * 400),
    (USE_CASE, "import os  # noqa: F401 - re-exported for callers\n"),
    (USE_CASE, "x: int = ''  # type: ignore[assignment]  # the stub says int, the library takes both\n"),
    (USE_CASE, "x: int = ''  # type: ignore[assignment]  # noqa: E501 - the reason serves both\n"),
    (USE_CASE, "import asyncio\nq = asyncio.Queue[int](10)\nr = asyncio.Queue(maxsize=limit)\n"),
    (USE_CASE, "async def f(group):\n    group.create_task(work())\n"),
    (USE_CASE, "import random\ndef f(source: random.Random) -> float:\n    return source.random()\n"),
    (USE_CASE, "from random import Random\ndef f(random: Random) -> str:\n    return random.choice('ab')\n"),
    (
        USE_CASE,
        "from datetime import datetime\ndef f(now: datetime) -> datetime:\n    return datetime.fromtimestamp(0)\n",
    ),
    (ADAPTER, "import time\nx = time.monotonic()\n"),
    (ADAPTER, "db.execute('DELETE FROM keys WHERE id = :id', {'id': key})\n"),
    (ADAPTER, "db.execute('SELECT 1 ' + 'FROM keys')\n"),
    (ADAPTER, "COLUMNS = 'a, b'\nKEYS = text(f'SELECT {COLUMNS} FROM keys')\n"),
    (ADAPTER, "db.execute('SELECT 1 ' + _COLUMNS + ' FROM ' + 'keys')\n"),
    (ADAPTER, "url.query(f'page {number}')\n"),
    (ADAPTER, "db.execute(f'CREATE DATABASE {name}')  # house: built-sql - names cannot be parameters\n"),
    (ADAPTER, "log.info('batch.flushed', rows=3)\n"),
    (ADAPTER, "meter.create_counter('edge.requests.total')\n"),
    ("services/edge/src/edge/settings.py", "import os\nx = os.environ\n"),
    (
        DOMAIN,
        "import random\nfrom datetime import timedelta\nfrom contracts.money import NanoUsd\nfrom edge.domain import ports\n",
    ),
    (ROLE, "from metering.broadcast.domain.targets import Target\nfrom metering.domain.usage import UsageRow\n"),
    (LIBRARY, "import urllib.parse\nfrom urllib.parse import urlsplit\n"),
    (TEST, "import os\nimport time\nx = os.environ\ny = time.monotonic()\n"),
    (TEST, "def test_x(monkeypatch):\n    monkeypatch.setenv('A', '1')\n"),
    ("README.md", "POST /work, GET https://example.org/home/page and ./root/x\n"),
    ("tests/e2e_support/__init__.py", ""),
]


def broken(path: str, text: str) -> set[str]:
    return {line.split("[")[1].split("]")[0] for line in violations(Source(PurePosixPath(path), text))}


@pytest.mark.parametrize(("rule", "path", "text"), FORBIDDEN, ids=[f"{r}-{i}" for i, (r, _, _) in enumerate(FORBIDDEN)])
def test_rule_catches(rule: str, path: str, text: str) -> None:
    assert broken(path, text) == {rule}


@pytest.mark.parametrize(("path", "text"), PERMITTED)
def test_rules_leave_alone(path: str, text: str) -> None:
    assert broken(path, text) == set()


def test_every_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES} == {rule for rule, _, _ in FORBIDDEN}


def test_a_permission_is_for_its_own_rule() -> None:
    line = "db.execute(f'CREATE DATABASE {name}')  # house: clock - names cannot be parameters\n"
    assert broken(ADAPTER, line) == {"built-sql"}


def test_generated_files_and_data_are_not_read(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    for name in ("protos/gen/turnpike/x_pb2.py", "locks/dev.txt", "tools/a.py", "binary.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xfe" if name == "binary.bin" else b"")
    assert [str(source.path) for source in iter_sources(tmp_path)] == ["tools/a.py"]


@pytest.mark.parametrize(("text", "status"), [("x = 1\n", 0), ("# FIX" + "ME\n", 1)])
def test_command_says_where_and_fails(tmp_path: Path, text: str, status: int) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "module.py").write_text(text)
    checks = Path(__file__).resolve().parents[1]
    run = subprocess.run(
        [sys.executable, "-m", "house", str(tmp_path)], cwd=checks, capture_output=True, text=True, check=False
    )
    assert run.returncode == status
    assert ("module.py:1: [unfinished]" in run.stdout) == bool(status)
