"""`turnpike keys`: make, list and revoke API keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import click

from contracts.money import nano_from_usd, usd_from_nano
from turnpike_cli.connection import Connection
from turnpike_cli.errors import NoSuchKeyError
from turnpike_cli.gateway import Gateway
from turnpike_cli.options import connected, json_option
from turnpike_cli.output import note, show_columns, show_json, usd

_SHOWN_DIGITS = 12
_LEAST_DIGITS = 6


class UsdType(click.ParamType[Decimal]):
    """An amount in dollars, 0 or more, with at most nine decimals."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            nano = nano_from_usd(str(value))
        except ValueError as error:
            self.fail(f"not an amount in dollars: {error}", param, ctx)
        if nano < 0:
            self.fail(f"not an amount of 0 or more dollars: {value}", param, ctx)
        return usd_from_nano(nano)


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command("create")
@click.argument("name")
@click.option("--limit-usd", type=UsdType(), help="Most that the key may spend in its life; no limit by default.")
@click.option("--expires-at", help="When it stops working, such as 2030-12-31T23:59:59Z; never by default.")
@json_option
@connected
def create(connection: Connection, name: str, limit_usd: Decimal | None, expires_at: str | None, as_json: bool) -> None:
    """Make a key called NAME and print it. It is shown this once and stored nowhere."""
    made = asyncio.run(_create(connection, name, limit_usd, expires_at))
    if as_json:
        show_json(made)
        return
    note(f"made the key {made['data']['name']!r} ({_short(made['data'])}); it is shown only this once")
    click.echo(made["key"])


@keys.command("list")
@click.option("--all", "include_disabled", is_flag=True, help="Also those that are disabled.")
@json_option
@connected
def list_(connection: Connection, include_disabled: bool, as_json: bool) -> None:
    """List the keys, newest first."""
    found = asyncio.run(_list(connection, include_disabled))
    if as_json:
        show_json(found)
        return
    show_columns(
        ("NAME", "KEY", "HASH", "USED", "LIMIT", "EXPIRES", "STATE"),
        [
            (
                str(key["name"]),
                str(key["label"]),
                _short(key),
                usd(key["usage"]),
                usd(key["limit"]),
                str(key["expires_at"] or "-"),
                "disabled" if key["disabled"] else "active",
            )
            for key in found
        ],
    )


@keys.command("revoke")
@click.argument("key")
@connected
def revoke(connection: Connection, key: str) -> None:
    """Delete the KEY with this hash (its first six digits or more will do) or label, as `turnpike keys list` shows them."""
    gone = asyncio.run(_revoke(connection, key))
    note(f"revoked the key {gone['name']!r} ({gone['label']})")


async def _create(
    connection: Connection, name: str, limit_usd: Decimal | None, expires_at: str | None
) -> Mapping[str, Any]:
    async with Gateway.open(connection) as gateway:
        return await gateway.create_key(name, limit_usd, expires_at)


async def _list(connection: Connection, include_disabled: bool) -> list[Mapping[str, Any]]:
    async with Gateway.open(connection) as gateway:
        return await gateway.keys(include_disabled=include_disabled)


async def _revoke(connection: Connection, wanted: str) -> Mapping[str, Any]:
    async with Gateway.open(connection) as gateway:
        key = meant_key(await gateway.keys(include_disabled=True), wanted)
        await gateway.delete_key(str(key["hash"]))
        return key


def meant_key(found: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any]:
    """The one key that is meant by a hash, its beginning, or a label.

    Raises:
        NoSuchKeyError: there is none, or there are several.
    """
    begins = len(wanted) >= _LEAST_DIGITS
    matching = [
        key for key in found if key["label"] == wanted or (begins and str(key["hash"]).startswith(wanted.lower()))
    ]
    match matching:
        case [key]:
            return key
        case []:
            raise NoSuchKeyError(f"there is no key {_shown(wanted)}; `turnpike keys list --all` shows all of them")
        case _:
            raise NoSuchKeyError(f"{len(matching)} keys are meant by {_shown(wanted)}; give more digits of the hash")


def _shown(wanted: str) -> str:
    """What was typed, unless it may be a whole key."""
    return "like this" if wanted.startswith("tp_") and "..." not in wanted else repr(wanted)


def _short(key: Mapping[str, Any]) -> str:
    return str(key["hash"])[:_SHOWN_DIGITS]
