"""`turnpike up` runs the local stack; `turnpike stack` gives orders to the one that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from localstack.control import order
from localstack.settings import DEFAULT_PORT, EMBEDDED, REAL, StackOptions
from localstack.state import StateDir
from turnpike_cli.keys import UsdType
from turnpike_cli.options import json_option, state_dir_option
from turnpike_cli.output import show_columns, show_json


class _KafkaType(click.ParamType[str]):
    name = "kafka"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).replace(" ", "")
        if text in {EMBEDDED, REAL} or all(_is_address(part) for part in text.split(",")):
            return text
        self.fail(f"{value!r} is neither {EMBEDDED!r} nor {REAL!r} nor HOST:PORT", param, ctx)


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


@click.command()
@state_dir_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="Of the API; 0 takes any."
)
@click.option("--no-models", is_flag=True, help="Do without the real model.")
@click.option(
    "--catalog",
    "catalogs",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of further catalogue files; may be given several times.",
)
@click.option("--probe-interval", help="Between two probes of an endpoint, such as 5s; 30s by default.")
@click.option(
    "--credit-usd", type=UsdType(), default="10", show_default=True, help="Credit of a new installation, in dollars."
)
@click.option(
    "--kafka",
    type=_KafkaType(),
    metavar="embedded|real|HOST:PORT",
    default=EMBEDDED,
    show_default=True,
    envvar="TURNPIKE_KAFKA",
    show_envvar=True,
    help="The broker: one in memory; a node of Apache Kafka, with its data in the folder of the stack (needs Java 17);"
    " or brokers that run already, such as `make kafka-up` starts.",
)
@click.option(
    "--kafka-jars",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".kafka") / "jars",
    show_default=True,
    envvar="TURNPIKE_KAFKA_JARS",
    show_envvar=True,
    help="Folder of the jars that --kafka real is made of, as tools/kafka/fetch.sh brings them.",
)
def up(
    state_dir: Path,
    port: int,
    no_models: bool,
    catalogs: tuple[Path, ...],
    probe_interval: str | None,
    credit_usd: Decimal,
    kafka: str,
    kafka_jars: Path,
) -> None:
    """Run the whole of Turnpike on this machine until Ctrl-C."""
    # Not at the top: the other commands need not wait until the parts of the stack are loaded.
    from rich.console import Console

    from localstack.report import ConsoleReport
    from localstack.stack import up as run_stack

    options = StackOptions(
        state_dir=state_dir,
        port=port,
        models=not no_models,
        catalogs=catalogs,
        probe_interval=probe_interval,
        credit_usd=credit_usd,
        kafka=kafka,
        kafka_jars=kafka_jars,
    )
    asyncio.run(run_stack(options, ConsoleReport(Console(highlight=False))))


@click.group()
def stack() -> None:
    """Stop, start and look at processes of the local stack that runs."""


@stack.command("stop")
@click.argument("name")
@state_dir_option
def stop(name: str, state_dir: Path) -> None:
    """Stop the process NAME and keep it down."""
    _order(state_dir, "stop", name)


@stack.command("start")
@click.argument("name")
@state_dir_option
def start(name: str, state_dir: Path) -> None:
    """Start the process NAME again, and wait until it is ready."""
    _order(state_dir, "start", name)


@stack.command("restart")
@click.argument("name")
@state_dir_option
def restart(name: str, state_dir: Path) -> None:
    """Stop the process NAME, start it again, and wait until it is ready."""
    _order(state_dir, "restart", name)


@stack.command("status")
@click.argument("name", required=False)
@json_option
@state_dir_option
def status(name: str | None, as_json: bool, state_dir: Path) -> None:
    """Show the processes, or the process NAME."""
    found: Mapping[str, Mapping[str, Any]] = _order(state_dir, "status", "")["processes"]
    if name is not None:
        if name not in found:
            raise click.BadParameter(f"no process {name!r}; there are {', '.join(found)}", param_hint="NAME")
        found = {name: found[name]}
    if as_json:
        show_json(found)
        return
    show_columns(
        ("NAME", "STATE", "PID", "LOG"),
        [(each, str(about["state"]), str(about["pid"] or "-"), str(about["log"])) for each, about in found.items()],
    )


def _order(state_dir: Path, command: str, name: str) -> Mapping[str, Any]:
    return asyncio.run(order(StateDir.at(state_dir).control_socket, command, name))
