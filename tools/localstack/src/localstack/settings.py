"""What the local stack can be told. The only module that looks at the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

EMBEDDED: Final = "embedded"
REAL: Final = "real"
DEFAULT_STATE_DIR = ".turnpike"
DEFAULT_PORT = 8787
_LOOPBACK = "127.0.0.1,localhost"


@dataclass(frozen=True)
class StackOptions:
    """How to run the stack.

    Attributes:
        state_dir: where data, logs and secrets live; made when it is not there.
        port: of the public API; 0 takes a free one.
        models: whether to serve the real model.
        catalogs: directories of catalogue files beside Turnpike's own.
        probe_interval: between two probes of an endpoint, as the health-prober's setting takes it; None is its default.
        credit_usd: given to a new organisation.
        kafka: `EMBEDDED`, `REAL` for a node of Apache Kafka of the stack's own, or host:port of brokers that run, separated by
            commas.
        kafka_jars: folder of the jars that a node is made of.
    """

    state_dir: Path = Path(DEFAULT_STATE_DIR)
    port: int = DEFAULT_PORT
    models: bool = True
    catalogs: tuple[Path, ...] = field(default=())
    probe_interval: str | None = None
    credit_usd: Decimal = Decimal(10)
    kafka: str = EMBEDDED
    kafka_jars: Path = Path(".kafka") / "jars"


def inherited_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that every child starts from: this one's, so that settings of services and OTEL_* reach them.

    gRPC would send calls to this very machine through a proxy, when one is set, unless it is told not to.
    """
    inherited = dict(os.environ if environ is None else environ)
    except_these = inherited.get("no_grpc_proxy") or inherited.get("no_proxy") or inherited.get("NO_PROXY")
    inherited["no_grpc_proxy"] = ",".join(part for part in (except_these, _LOOPBACK) if part)
    inherited["PYTHONUNBUFFERED"] = "1"
    return inherited
