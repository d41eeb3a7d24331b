"""Orders to a running stack over a socket in its state directory: stop, start or restart a process, and the status.

One JSON object a line each way. A request is `{"command": …, "name": …}`; an answer has `ok`, and `error` or `processes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from localstack.errors import NotRunningError, StackError
from localstack.supervisor import Supervisor

_LINE_LIMIT = 64 * 1024
# Longer paths do not fit into the address of a socket (108 bytes on Linux, 104 elsewhere).
_PATH_LIMIT = 100
ANSWER_LIMIT_S = 120.0


@asynccontextmanager
async def listening(path: Path, supervisor: Supervisor) -> AsyncIterator[None]:
    """Take orders for the length of the block. The socket is for the owner of the stack only."""
    path.unlink(missing_ok=True)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                answer = await _obey(line, supervisor)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    with _address(path) as address:
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(serve, address, limit=_LINE_LIMIT)
        finally:
            os.umask(before)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def order(path: Path, command: str, name: str = "") -> Mapping[str, Any]:
    """Give an order to the stack that listens on the socket `path`, and return its answer.

    Raises:
        NotRunningError: nothing listens there.
        StackError: it refused, with its reason.
    """
    try:
        with _address(path) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=_LINE_LIMIT)
    except OSError:
        raise NotRunningError(f"no stack is running in {path.parent}; `turnpike up` starts one") from None
    try:
        writer.write(json.dumps({"command": command, "name": name}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_LIMIT_S):
            line = await reader.readline()
    except (OSError, TimeoutError):
        raise StackError(f"the stack in {path.parent} does not answer") from None
    finally:
        writer.close()
    if not line:
        raise NotRunningError(f"the stack in {path.parent} is stopping")
    answer: dict[str, Any] = json.loads(line)
    if not answer.get("ok"):
        raise StackError(str(answer.get("error", "refused")))
    return answer


def states(supervisor: Supervisor) -> dict[str, dict[str, Any]]:
    """What is known of each process."""
    return {
        name: {
            "pid": child.pid,
            "state": str(child.state),
            "log": str(child.spec.log),
            "admin_url": child.spec.admin_url,
            "grpc_target": child.spec.grpc_target,
        }
        for name, child in supervisor.children.items()
    }


async def _obey(line: bytes, supervisor: Supervisor) -> dict[str, Any]:
    try:
        request = json.loads(line)
        command, name = str(request["command"]), str(request.get("name", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return {"ok": False, "error": "not an order"}
    if command != "status" and name not in supervisor.children:
        return {"ok": False, "error": f"no process {name!r}; there are {', '.join(supervisor.children)}"}
    try:
        match command:
            case "status":
                pass
            case "stop":
                await supervisor.hold(name)
            case "start":
                await supervisor.release(name)
            case "restart":
                await supervisor.hold(name)
                await supervisor.release(name)
            case _:
                return {"ok": False, "error": f"no order {command!r}"}
    except StackError as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True, "processes": states(supervisor)}


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path, or a short one to the same place (Linux) where it would not fit."""
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
