"""The state directory: what lies where, and who may read it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from localstack.errors import StateDamagedError

LOG_KEPT_AT_START = 5 * 1024 * 1024
LOG_KEPT_WHILE_RUNNING = 50 * 1024 * 1024


@dataclass(frozen=True)
class StateDir:
    """Paths below one directory. `root` is absolute."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> StateDir:
        """Name the paths below `path`; nothing is made."""
        return cls(path.expanduser().absolute())

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    @property
    def credentials_file(self) -> Path:
        return self.root / "credentials.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def control_socket(self) -> Path:
        return self.root / "control.sock"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def clickhouse(self) -> Path:
        return self.root / "clickhouse"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def broadcast(self) -> Path:
        return self.root / "broadcast"

    @property
    def edge(self) -> Path:
        return self.root / "edge"

    @property
    def prober(self) -> Path:
        return self.root / "health-prober"

    @property
    def provider_keys(self) -> Path:
        return self.root / "provider-keys"

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Make the directories, closed to others.

        Root's PostgreSQL runs as another user, who must be able to pass through, so root's directory lets others pass
        (but not list); what lies below is closed to them.

        Raises:
            StateDamagedError: it cannot be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            private = (self.secrets, self.logs, self.catalog, self.provider_keys, self.spool, self.edge, self.prober)
            for directory in private:
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StateDamagedError(f"cannot use {self.root} for the state: {error.strerror or error}") from error


def write_private(path: Path, text: str) -> None:
    """Replace a file as one step, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
