"""`turnpike status`: does it answer, what is on offer, what is left of the credit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import click

from turnpike_cli.connection import Connection
from turnpike_cli.gateway import Gateway
from turnpike_cli.options import connected, json_option
from turnpike_cli.output import show_json, usd


@click.command()
@json_option
@connected
def status(connection: Connection, as_json: bool) -> None:
    """Say whether Turnpike answers, what it offers and what is left of the credit."""
    found = asyncio.run(_status(connection))
    if as_json:
        show_json(found)
        return
    for name, value in found.items():
        shown = usd(value) if isinstance(value, Decimal) else str(value)
        click.echo(f"{name.replace('_', ' '):16}{shown}")


async def _status(connection: Connection) -> Mapping[str, Any]:
    async with Gateway.open(connection) as gateway:
        credits = await gateway.credits()
        models = await gateway.models()
    bought, used = Decimal(credits["total_credits"]), Decimal(credits["total_usage"])
    return {
        "base_url": connection.base_url,
        "models": len(models),
        "credit_usd": bought,
        "used_usd": used,
        "left_usd": bought - used,
    }
