"""`turnpike orgs`, `members`, `workspaces` and `audit`: the organisation of a management key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import click

from turnpike_cli.connection import Connection
from turnpike_cli.errors import CommandError
from turnpike_cli.gateway import Gateway
from turnpike_cli.keys import UsdType
from turnpike_cli.options import connected, json_option
from turnpike_cli.output import note, show_columns, show_json, usd

ROLES = click.Choice(["owner", "admin", "billing", "developer", "viewer"])
INTERVALS = click.Choice(["daily", "weekly", "monthly", "lifetime"])
Rows = list[Mapping[str, Any]]


@click.group()
def orgs() -> None:
    """Show the organisation of the management key."""


@orgs.command("show")
@json_option
@connected
def show_org(connection: Connection, as_json: bool) -> None:
    """Show the organisation: its workspaces, its members by role, its credit."""
    found = asyncio.run(_org(connection))
    if as_json:
        show_json(found)
        return
    show_columns(
        ("ID", "MEMBERS", "WORKSPACES", "CREDIT", "USED"),
        [(found["id"], str(found["members"]), str(found["workspaces"]), usd(found["credit"]), usd(found["used"]))],
    )


@click.group()
def members() -> None:
    """Show, invite and remove members, and change their roles."""


@members.command("list")
@json_option
@connected
def list_members(connection: Connection, as_json: bool) -> None:
    """List the members, the longest-standing first."""
    found = asyncio.run(_all(connection, "/organization/members"))
    _show(found, as_json, ("EMAIL", "ROLE", "ID"), lambda each: (each["email"], each["organization_role"], each["id"]))


@members.command("invite")
@click.argument("email")
@click.option("--role", type=ROLES, default="developer", show_default=True)
@json_option
@connected
def invite(connection: Connection, email: str, role: str, as_json: bool) -> None:
    """Invite EMAIL and print the token that they accept with. It is shown this once and stored nowhere."""
    made = asyncio.run(_call(connection, "POST", "/organization/invitations", {"email": email, "role": role}))
    if as_json:
        show_json(made)
        return
    note(
        f"invited {made['data']['email']} as {role} until {made['data']['expires_at']}; the token is shown only this once"
    )
    click.echo(made["token"])


@members.command("role")
@click.argument("email")
@click.argument("role", type=ROLES)
@connected
def change_role(connection: Connection, email: str, role: str) -> None:
    """Make the member EMAIL a ROLE."""
    asyncio.run(_change_member(connection, email, "PATCH", {"role": role}))
    note(f"{email} is {role} now")


@members.command("remove")
@click.argument("email")
@connected
def remove_member(connection: Connection, email: str) -> None:
    """Remove the member EMAIL."""
    asyncio.run(_change_member(connection, email, "DELETE", None))
    note(f"removed {email}")


@click.group()
def workspaces() -> None:
    """Show, make and delete workspaces, and set their budgets."""


@workspaces.command("list")
@json_option
@connected
def list_workspaces(connection: Connection, as_json: bool) -> None:
    """List the workspaces, the default one first."""
    found = asyncio.run(_all(connection, "/workspaces"))
    _show(found, as_json, ("SLUG", "NAME", "ID"), lambda each: (each["slug"], each["name"], each["id"]))


@workspaces.command("create")
@click.argument("slug")
@click.option("--name", help="What it is called; the slug by default.")
@connected
def create_workspace(connection: Connection, slug: str, name: str | None) -> None:
    """Make a workspace and print its id."""
    made = asyncio.run(_call(connection, "POST", "/workspaces", {"slug": slug, "name": name or slug}))
    click.echo(made["data"]["id"])


@workspaces.command("delete")
@click.argument("workspace")
@connected
def delete_workspace(connection: Connection, workspace: str) -> None:
    """Delete the WORKSPACE with this slug or id. It must have no keys."""
    asyncio.run(_call(connection, "DELETE", f"/workspaces/{workspace}", None))
    note(f"deleted {workspace}")


@workspaces.command("budget")
@click.argument("workspace")
@click.argument("interval", type=INTERVALS)
@click.argument("limit_usd", type=UsdType(), required=False)
@connected
def budget(connection: Connection, workspace: str, interval: str, limit_usd: Decimal | None) -> None:
    """Set the budget of an INTERVAL to LIMIT_USD dollars, or remove it when no limit is given."""
    path = f"/workspaces/{workspace}/budgets/{interval}"
    if limit_usd is None:
        asyncio.run(_call(connection, "DELETE", path, None))
        note(f"{workspace} has no {interval} budget")
    else:
        asyncio.run(_call(connection, "PUT", path, {"limit_usd": limit_usd}))
        note(f"{workspace} may spend {usd(limit_usd)} {interval}")


@click.group()
def audit() -> None:
    """Read the audit log, and check that it is intact."""


@audit.command("list")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries after this sequence.")
@json_option
@connected
def list_entries(connection: Connection, after: int, as_json: bool) -> None:
    """List every entry in order."""
    found = asyncio.run(_entries(connection, after))
    _show(
        found,
        as_json,
        ("SEQ", "WHEN", "WHO", "WHAT", "TARGET", "IP"),
        lambda each: (
            str(each["sequence"]),
            each["occurred_at"],
            f"{each['actor_kind']} {each['actor_id'] or ''}".strip(),
            each["action"],
            each["target"],
            each["ip"] or "-",
        ),
    )


@audit.command("verify")
@click.option("--anchor", help="SEQUENCE:DIGEST of an entry that was noted, which must still be there.")
@json_option
@connected
def verify(connection: Connection, anchor: str | None, as_json: bool) -> None:
    """Go through the whole log. Note what it prints: the next check can then prove that no entry was cut off."""
    query: dict[str, str] = {}
    if anchor is not None:
        sequence, colon, digest = anchor.partition(":")
        if not colon or not sequence.isdigit():
            raise CommandError("--anchor is SEQUENCE:DIGEST, as an earlier check printed it")
        query = {"sequence": sequence, "digest": digest}
    found = asyncio.run(_call(connection, "GET", "/organization/audit/verify", None, query))["data"]
    if as_json:
        show_json(found)
    if not found["intact"]:
        raise CommandError(f"the audit log is broken at entry {found['broken_at']}: {found['reason']}")
    if not as_json:
        note(f"{found['entries']} entries are intact")
        click.echo(f"{found['entries']}:{found['head_digest']}")


async def _call(
    connection: Connection,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    query: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    async with Gateway.open(connection) as gateway:
        return await gateway.call(method, path, query=query, body=None if body is None else _json(body))


async def _all(connection: Connection, path: str) -> Rows:
    async with Gateway.open(connection) as gateway:
        found: Rows = []
        while True:
            page = await gateway.call("GET", path, query={"offset": str(len(found)), "limit": "100"})
            found += page["data"]
            if not page["data"] or len(found) >= page["total_count"]:
                return found


async def _entries(connection: Connection, after: int) -> Rows:
    async with Gateway.open(connection) as gateway:
        found: Rows = []
        while True:
            query = {"after": str(found[-1]["sequence"] if found else after), "limit": "100"}
            page = (await gateway.call("GET", "/organization/audit", query=query))["data"]
            if not page:
                return found
            found += page


async def _change_member(connection: Connection, email: str, method: str, body: Mapping[str, Any] | None) -> None:
    matching = [each for each in await _all(connection, "/organization/members") if each["email"] == email.lower()]
    if not matching:
        raise CommandError(f"there is no member {email!r}; `turnpike members list` shows all of them")
    await _call(connection, method, f"/organization/members/{matching[0]['id']}", body)


async def _org(connection: Connection) -> dict[str, Any]:
    people, places = await _all(connection, "/organization/members"), await _all(connection, "/workspaces")
    async with Gateway.open(connection) as gateway:
        credit = await gateway.credits()
    return {
        # The default workspace has the id of its organisation.
        "id": places[0]["id"],
        "members": len(people),
        "workspaces": len(places),
        "credit": credit["total_credits"],
        "used": credit["total_usage"],
    }


def _show(found: Rows, as_json: bool, head: Sequence[str], row: Any) -> None:
    if as_json:
        show_json(found)
    else:
        show_columns(head, [row(each) for each in found])


def _json(body: Mapping[str, Any]) -> str:
    """A body; amounts are written exactly."""
    parts = (
        f"{json.dumps(name)}: {format(value, 'f') if isinstance(value, Decimal) else json.dumps(value)}"
        for name, value in body.items()
    )
    return "{" + ", ".join(parts) + "}"
