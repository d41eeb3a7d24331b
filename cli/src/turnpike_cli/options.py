"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import Any

import click

from localstack.settings import DEFAULT_STATE_DIR
from turnpike_cli.connection import BASE_URL_VARIABLE, MANAGEMENT_KEY_VARIABLE, Connection, connection_to
from turnpike_cli.sign_ins import SignIns

STATE_DIR_VARIABLE = "TURNPIKE_STATE_DIR"
CONFIG_DIR_VARIABLE = "TURNPIKE_CONFIG_DIR"


state_dir_option = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_STATE_DIR,
    show_default=True,
    envvar=STATE_DIR_VARIABLE,
    help="Folder of the local stack.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


base_url_option = click.option(
    "--base-url",
    envvar=BASE_URL_VARIABLE,
    show_envvar=True,
    help="Of the API, such as https://turnpike.example/api/v1; the local stack's by default.",
)
config_dir_option = click.option(
    "--config-dir",
    type=click.Path(file_okay=False, path_type=Path),
    # $XDG_CONFIG_HOME/turnpike, or ~/.config/turnpike.
    default=lambda: click.get_app_dir("turnpike"),
    envvar=CONFIG_DIR_VARIABLE,
    help="Where it is kept who is signed in.",
)


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a `Connection` as its first argument, from the options that it adds."""

    def connect(
        base_url: str | None, management_key: str | None, state_dir: Path, config_dir: Path, **others: Any
    ) -> None:
        command(connection_to(base_url, management_key, state_dir, SignIns(config_dir)), **others)

    # Only from the environment: a command line is for everybody on the machine to see.
    management_key = click.option("--management-key", envvar=MANAGEMENT_KEY_VARIABLE, hidden=True)
    wrapped = update_wrapper(connect, command)
    return state_dir_option(config_dir_option(base_url_option(management_key(wrapped))))


__all__ = ["Connection", "base_url_option", "config_dir_option", "connected", "json_option", "state_dir_option"]
