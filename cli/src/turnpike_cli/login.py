"""`turnpike login`, `logout` and `whoami`."""

from __future__ import annotations

import asyncio
import json
import platform
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from turnpike_cli.browser_login import Proof, code_by_browser
from turnpike_cli.connection import Connection, base_url_of
from turnpike_cli.errors import CommandError, RefusedError
from turnpike_cli.gateway import Gateway
from turnpike_cli.options import base_url_option, config_dir_option, json_option, state_dir_option
from turnpike_cli.output import note, show_json
from turnpike_cli.sign_ins import SignIn, SignIns, TokenKind

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


@click.command()
@click.option("--password", "by_password", is_flag=True, help="Ask for email and password here, without a browser.")
@click.option("--email", help="Of the account, with --password; asked for when it is absent.")
@state_dir_option
@base_url_option
@config_dir_option
def login(by_password: bool, email: str | None, base_url: str | None, state_dir: Path, config_dir: Path) -> None:
    """Sign in, and keep what comes of it in a file that only you can read.

    In the browser you allow a key for this machine, which asks models for 30 days. With your password, also where there is no browser, you get
    a session: the commands of this program then work as far as your role goes.
    """
    url = base_url_of(base_url, state_dir)
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _THIS_MACHINE:
        raise CommandError(f"{url} is not encrypted: sign in over https")
    if by_password or email or not _has_browser():
        kept = asyncio.run(_by_password(url, email or click.prompt("Email", err=True)))
    else:
        kept = asyncio.run(_by_browser(url))
    sign_ins = SignIns(config_dir)
    sign_ins.keep(url, kept)
    note(f"signed in to {url}; kept in {sign_ins.path}")


@click.command()
@state_dir_option
@base_url_option
@config_dir_option
def logout(base_url: str | None, state_dir: Path, config_dir: Path) -> None:
    """Sign out, and forget what was kept."""
    sign_ins = SignIns(config_dir)
    url, kept = _kept(sign_ins, base_url, state_dir)
    if kept.kind is TokenKind.SESSION:
        try:
            asyncio.run(_call(url, kept.token, "DELETE", "/auth/session"))
        except RefusedError as error:
            # A session that is over already is what was wanted.
            if not str(error).startswith("refused with status 401"):
                raise
    else:
        note("the key is forgotten here, and works until it ends or somebody revokes it (`turnpike keys revoke`)")
    sign_ins.forget(url)
    note(f"signed out of {url}")


@click.command()
@json_option
@state_dir_option
@base_url_option
@config_dir_option
def whoami(as_json: bool, base_url: str | None, state_dir: Path, config_dir: Path) -> None:
    """Say who is signed in, and where."""
    url, kept = _kept(SignIns(config_dir), base_url, state_dir)
    path = "/auth/session" if kept.kind is TokenKind.SESSION else "/key"
    data = asyncio.run(_call(url, kept.token, "GET", path))["data"]
    found = {"base_url": url} | (_person(data) if kept.kind is TokenKind.SESSION else _key(data))
    if as_json:
        show_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):16}{'-' if value is None else value}")


def _person(data: Mapping[str, Any]) -> dict[str, Any]:
    organization = data["organization"] or {}
    return {
        "email": data["user"]["email"],
        "organization": organization.get("name"),
        "role": organization.get("role"),
        "until": data["expires_at"],
    }


def _key(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": data["label"], "organization": data["organization_id"], "until": data["expires_at"]}


async def _by_password(url: str, email: str) -> SignIn:
    password = click.prompt("Password", hide_input=True, err=True)
    body = json.dumps({"email": email, "password": password, "as_token": True})
    return SignIn(TokenKind.SESSION, str((await _call(url, "", "POST", "/auth/sign-in", body))["token"]))


async def _by_browser(url: str) -> SignIn:
    proof = Proof.new()

    def show(address: str) -> None:
        note(f"If no browser opens, open this address: {address}")
        webbrowser.open(address)

    code = await code_by_browser(url, proof, f"turnpike on {platform.node() or 'a machine'}"[:100], show)
    body = json.dumps({"code": code, "code_verifier": proof.verifier, "code_challenge_method": "S256"})
    return SignIn(TokenKind.KEY, str((await _call(url, "", "POST", "/auth/keys", body))["key"]))


async def _call(url: str, token: str, method: str, path: str, body: str | None = None) -> Mapping[str, Any]:
    async with Gateway.open(Connection(url, token)) as gateway:
        return await gateway.call(method, path, body=body)


def _kept(sign_ins: SignIns, base_url: str | None, state_dir: Path) -> tuple[str, SignIn]:
    """The sign-in that is meant: at the address that was named, else the last one.

    Raises:
        CommandError: there is none.
    """
    url = sign_ins.current if base_url is None else base_url_of(base_url, state_dir)
    kept = None if url is None else sign_ins.at(url)
    if url is None or kept is None:
        raise CommandError("nobody is signed in here; `turnpike login` signs in")
    return url, kept


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
