"""`turnpike statement`: what an organisation bought, was given and used in a month."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from turnpike_cli.connection import Connection
from turnpike_cli.gateway import Gateway
from turnpike_cli.options import connected, json_option
from turnpike_cli.output import show_columns, show_json, usd

DIFFERS = 1


@click.command()
@click.argument("month", metavar="YYYY-MM")
@click.option("--csv", "form", flag_value="csv", help="Print it as CSV.")
@click.option("--html", "form", flag_value="html", help="Print it as a page.")
@json_option
@connected
@click.pass_context
def statement(context: click.Context, connection: Connection, month: str, form: str | None, as_json: bool) -> None:
    """Print the statement of a month (UTC), with what the usage events count beside what the ledger charged.

    Exit codes: 0; 1 where the two are not the same to the nano-dollar, or there is no statement.
    """
    if form is not None:
        click.echo(asyncio.run(_text(connection, month, form)), nl=False)
        return
    found = asyncio.run(_statement(connection, month))
    if as_json:
        show_json(found)
    else:
        _show(found)
    counted = found["reconciliation"]
    if counted is not None and (counted["difference"] or counted["models"]):
        context.exit(DIFFERS)


async def _statement(connection: Connection, month: str) -> Mapping[str, Any]:
    async with Gateway.open(connection) as gateway:
        found: Mapping[str, Any] = (await gateway.call("GET", _path(month)))["data"]
        return found


async def _text(connection: Connection, month: str, form: str) -> str:
    async with Gateway.open(connection) as gateway:
        return await gateway.text(_path(month), {"format": form})


def _path(month: str) -> str:
    # What is not of this form could be another path.
    if not month.replace("-", "").isdigit() or not month.isascii():
        raise click.UsageError(f"{month!r} is no month; one looks like 2026-11")
    return f"/credits/statements/{month}"


def _show(found: Mapping[str, Any]) -> None:
    click.echo(f"{found['organization']}, {found['month']}")
    click.echo()
    rows = [("balance before", "", usd(found["opening_balance"]))]
    rows += [(each["reason"], str(each["entries"]), usd(each["amount"])) for each in found["movements"]]
    show_columns(("MOVEMENT", "ENTRIES", "AMOUNT"), [*rows, ("balance after", "", usd(found["closing_balance"]))])
    if found["usage"]:
        click.echo()
        names = ("model", "generations", "prompt_tokens", "completion_tokens")
        show_columns(
            ("MODEL", "GENERATIONS", "PROMPT", "COMPLETION", "COST"),
            [(*(str(each[name]) for name in names), usd(each["cost"])) for each in found["usage"]],
        )
    click.echo()
    counted = found["reconciliation"]
    if counted is None:
        click.echo("the usage events could not be asked")
        return
    if not counted["models"]:
        count = counted["analytics_generations"]
        click.echo(f"the usage events count the same: {count} generations, {usd(counted['analytics_cost'])}")
        return
    click.echo(f"the usage events count {usd(counted['difference'])} more than the ledger charged:")
    show_columns(
        ("MODEL", "LEDGER", "USAGE EVENTS", "GENERATIONS"),
        [
            (
                each["model"],
                usd(each["ledger_cost"]),
                usd(each["analytics_cost"]),
                f"{each['ledger_generations']}/{each['analytics_generations']}",
            )
            for each in counted["models"]
        ],
    )
