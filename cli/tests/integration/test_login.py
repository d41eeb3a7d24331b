"""Sign-in from the command line against a real stack: by password, and through a browser that the test plays."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import subprocess
import urllib.error
import urllib.request
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import aiohttp
import grpc
import pytest
import pytest_asyncio
from click.testing import CliRunner

from turnpike.accounts.v1 import member_service_pb2
from turnpike.accounts.v1.member_service_pb2_grpc import MemberServiceStub
from turnpike_cli.__main__ import turnpike as program
from turnpike_cli.browser_login import Proof, code_by_browser
from turnpike_cli.errors import CommandError
from turnpike_cli.sign_ins import SignIns, TokenKind
from turnpike_cli.testing import RunningStack, Turnpike
from turnpike_cli.testing.processes import turnpike_program

PASSWORD = "correct horse battery"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}


def record_of(stack: RunningStack) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((stack.state_dir / "run.json").read_text())
    return record


@pytest_asyncio.fixture
async def email(stack: RunningStack) -> str:
    """Of somebody who is an owner of the local organisation."""
    org_id = json.loads((stack.state_dir / "credentials.json").read_text())["org_id"]
    record = record_of(stack)
    address = f"{uuid4().hex}@example.com"
    async with grpc.aio.insecure_channel(record["processes"]["accounts"]["grpc_target"]) as channel:
        request = member_service_pb2.CreateInvitationRequest(
            org_id=org_id, email=address, role=member_service_pb2.ROLE_OWNER
        )
        invited = await MemberServiceStub(channel).CreateInvitation(request)
    async with aiohttp.ClientSession() as http:
        body = {"invitation": invited.token, "password": PASSWORD}
        async with http.post(f"{record['base_url']}/auth/sign-up", json=body) as answer:
            assert answer.status == 201, await answer.text()
    return address


def test_a_password_opens_a_session_that_manages_until_its_end(
    stack: RunningStack, email: str, tmp_path: Path, command: Turnpike
) -> None:
    url, folder = record_of(stack)["base_url"], tmp_path / "config"
    environment = {"TURNPIKE_CONFIG_DIR": str(folder), "TURNPIKE_BASE_URL": url}
    wrong = CliRunner().invoke(program, ["login", "--email", email], input="a wrong password\n", env=environment)
    assert (wrong.exit_code != 0, folder.exists()) == (True, False)
    done = CliRunner().invoke(program, ["login", "--password"], input=f"{email}\n{PASSWORD}\n", env=environment)
    assert done.exit_code == 0, done.output
    path = folder / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = SignIns(folder).at(url)
    assert kept is not None
    assert (kept.kind, PASSWORD in path.read_text(), kept.token in done.output) == (TokenKind.SESSION, False, False)
    who = command("whoami", "--json", TURNPIKE_CONFIG_DIR=str(folder))
    found = json.loads(who.out)
    assert (found["email"], found["role"], found["base_url"]) == (email, "owner", url)
    assert command("keys", "list", **environment).code == 0
    assert command("logout", TURNPIKE_CONFIG_DIR=str(folder)).code == 0
    assert kept.token not in path.read_text()
    request = urllib.request.Request(f"{url}/auth/session", headers={"Authorization": f"Bearer {kept.token}"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 401
    refused.value.close()
    assert command("whoami", TURNPIKE_CONFIG_DIR=str(folder)).err.startswith("turnpike: nobody is signed in here")


async def decide(address: str, email: str, decision: str) -> int:
    """What a browser and its user do; the status of the answer of the loopback port."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        async with browser.get(address) as page:
            action = re.search(r'action="([^"]*)"', await page.text())
        assert action is not None
        fields = urlencode({"email": email, "password": PASSWORD})
        async with browser.post(origin + unescape(action[1]), data=fields, headers=OWN_PAGE) as page:
            text = await page.text()
        proof = re.search(r'name="csrf_token" value="([^"]*)"', text)
        action = re.search(r'action="([^"]*)"', text)
        assert proof is not None, text
        assert action is not None
        fields = urlencode({"csrf_token": proof[1], "decision": decision, "limit": ""})
        async with browser.post(origin + unescape(action[1]), data=fields, headers=OWN_PAGE) as page:
            return page.status


async def test_a_browser_gives_a_key_for_this_machine(stack: RunningStack, email: str, tmp_path: Path) -> None:
    url, folder = record_of(stack)["base_url"], tmp_path / "config"
    # A program that stands in for a browser, as BROWSER names one: it writes down where it was sent.
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}.new && mv {seen}.new {seen}\n')
    browser.chmod(0o700)
    process = await asyncio.create_subprocess_exec(
        turnpike_program(), "login", "--base-url", url, "--config-dir", str(folder),
        env={"BROWSER": f"{browser} %s", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(seen.exists):
                assert process.returncode is None
                await asyncio.sleep(0.05)
            assert await decide(seen.read_text(), email, "allow") == 200
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said
    kept = SignIns(folder).at(url)
    assert kept is not None
    assert (kept.kind, kept.token.startswith("tp_live_"), kept.token.encode() in said) == (TokenKind.KEY, True, False)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {kept.token}"}) as http:
        async with http.get(f"{url}/key") as answer:
            own = (await answer.json())["data"]
    assert own["expires_at"] is not None
    who = Turnpike(tmp_path)("whoami", "--config-dir", str(folder))
    assert own["label"] in who.out
    out = Turnpike(tmp_path)("logout", "--config-dir", str(folder))
    assert (out.code, "works until it ends" in out.err) == (0, True)


async def test_who_denies_is_not_signed_in(stack: RunningStack, email: str) -> None:
    addresses: asyncio.Queue[str] = asyncio.Queue(1)
    url = record_of(stack)["base_url"]
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(outcome(url, addresses))
        assert await decide(await addresses.get(), email, "deny") == 200
    assert asking.result() == "denied in the browser"


async def outcome(url: str, addresses: asyncio.Queue[str], **more: Any) -> str:
    try:
        return await code_by_browser(url, Proof.new(), "test", addresses.put_nowait, **more)
    except CommandError as error:
        return str(error)


async def test_an_answer_to_another_question_is_not_taken() -> None:
    addresses: asyncio.Queue[str] = asyncio.Queue(1)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(outcome("http://127.0.0.1:1/api/v1", addresses))
        query = parse_qs(urlsplit(await addresses.get()).query)
        callback, state = query["callback_url"][0], query["state"][0]
        async with aiohttp.ClientSession() as http:
            for wrong in ("", "?code=theirs", f"?code=theirs&state={state[:-1]}x"):
                async with http.get(callback + wrong) as answer:
                    assert answer.status == 404
            async with http.get(f"{callback}?code=ours&state={state}") as answer:
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert asking.result() == "ours"


async def test_nobody_who_decides_is_not_waited_for_for_ever() -> None:
    asked = await outcome("http://127.0.0.1:1/api/v1", asyncio.Queue(1), patience=timedelta(milliseconds=1))
    assert asked == "nobody decided in the browser in time"


def test_no_password_is_sent_in_the_clear(command: Turnpike) -> None:
    ended = command("login", "--password", "--base-url", "http://turnpike.example")
    assert (ended.code, "is not encrypted" in ended.err) == (1, True)
