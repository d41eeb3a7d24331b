"""`run.json`: how to reach the running stack, for tests and tools. It holds keys, so only its owner may read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localstack.errors import StateDamagedError
from localstack.state import write_private


@dataclass(frozen=True)
class RunRecord:
    """What a stack says of itself.

    Attributes:
        base_url: of the public API; ends in /api/v1.
        api_key: for completions.
        management_key: for keys and credits.
        postgres_dsn: of the database that accounts uses.
        kafka_bootstrap: host:port.
        processes: by name: pid (the last one, if it does not run), state, log, admin_url and grpc_target ("" where there
            is none).
    """

    base_url: str
    api_key: str = field(repr=False)
    management_key: str = field(repr=False)
    postgres_dsn: str = field(repr=False)
    kafka_bootstrap: str
    processes: Mapping[str, Mapping[str, Any]]

    def write(self, path: Path) -> None:
        """Replace the file as one step.

        Raises:
            OSError: it cannot be written.
        """
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")


def read_run_record(path: Path) -> RunRecord | None:
    """Read what a stack wrote, or None if there is no file. It may be of a stack that was killed.

    Raises:
        StateDamagedError: the file is not a run record, or not readable.
    """
    try:
        return RunRecord(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StateDamagedError(f"{path} is not readable: {error}") from None
