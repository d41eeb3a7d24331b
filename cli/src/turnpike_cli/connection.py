"""Which Turnpike is meant: the one that was named, or the local stack that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from localstack.run_file import RunRecord, read_run_record
from localstack.state import StateDir
from turnpike_cli.errors import CommandError
from turnpike_cli.sign_ins import SignIns, TokenKind

BASE_URL_VARIABLE = "TURNPIKE_BASE_URL"
MANAGEMENT_KEY_VARIABLE = "TURNPIKE_MANAGEMENT_KEY"
_API_PATH = "/api/v1"


@dataclass(frozen=True)
class Connection:
    """Where the API is, and with which key it is managed. `base_url` does not end with a slash."""

    base_url: str
    management_key: str = field(repr=False)


def connection_to(
    base_url: str | None, management_key: str | None, state_dir: Path, sign_ins: SignIns | None = None
) -> Connection:
    """Find the Turnpike that is meant.

    Without a base URL, both it and the key are those of the local stack, and where none runs those of the last sign-in: a key is
    never sent to a Turnpike that it was not named with.

    Args:
        base_url: of the API, or None.
        management_key: for that base URL.
        state_dir: of the local stack.
        sign_ins: sessions that stand in for a management key.

    Raises:
        CommandError: no stack runs there, or something is missing.
        StackError: what the stack wrote of itself is not readable.
    """
    if base_url is None:
        if sign_ins is not None and read_run_record(StateDir.at(state_dir).run_file) is None:
            last = sign_ins.current
            if last is not None:
                return Connection(last, _session(last, sign_ins) or "")
        record = running_stack(state_dir)
        return Connection(record.base_url, record.management_key)
    url = _normal(base_url)
    token = management_key or (None if sign_ins is None else _session(url, sign_ins))
    if not token:
        raise CommandError(
            f"set {MANAGEMENT_KEY_VARIABLE} to a management key of {base_url}, or `turnpike login` there"
        )
    return Connection(url, token)


def base_url_of(base_url: str | None, state_dir: Path) -> str:
    """The address of the API that is meant: the one that was named, else the local stack's.

    Raises:
        CommandError: no stack runs there, or it is no base URL.
        StackError: what the stack wrote of itself is not readable.
    """
    return running_stack(state_dir).base_url if base_url is None else _normal(base_url)


def _session(url: str, sign_ins: SignIns) -> str | None:
    kept = sign_ins.at(url)
    if kept is None:
        return None
    if kept.kind is not TokenKind.SESSION:
        raise CommandError(
            f"signed in to {url} with a key, which manages nothing; `turnpike login --password` signs you in"
        )
    return kept.token


def running_stack(state_dir: Path) -> RunRecord:
    """What the local stack says of itself.

    Raises:
        CommandError: none runs there.
        StackError: the file is not readable.
    """
    state = StateDir.at(state_dir)
    record = read_run_record(state.run_file)
    if record is None:
        raise CommandError(
            f"no stack is running in {state.root}; `turnpike up` starts one, "
            f"--base-url or {BASE_URL_VARIABLE} names another Turnpike"
        )
    return record


def _normal(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        named = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        named = False
    if not named:
        raise CommandError(f"{base_url!r} is no base URL; one looks like https://turnpike.example{_API_PATH}")
    stripped = base_url.rstrip("/")
    return stripped + _API_PATH if not parts.path.strip("/") else stripped
