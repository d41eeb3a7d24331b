"""Secrets of one installation: made once, kept in files that only their owner may read."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localstack.errors import StateDamagedError
from localstack.state import write_private

_BYTES = 32
_LEAST_LENGTH = 16


@dataclass(frozen=True)
class InstallationSecrets:
    """What the parts of one installation share.

    Attributes:
        pepper: under which digests of API keys are made; without it no key is ever recognised again.
        contents_key: what contents of generations are encrypted with.
        postgres_password: of the database's owner.
        serving_password: of the role that accounts works as in it.
        payment_key: with which accounts calls the local payment provider.
        webhook_secret: signs what the local payment provider says.
        model_keys: by name of a model server, the API key that it wants.
    """

    pepper: str = field(repr=False)
    contents_key: str = field(repr=False)
    postgres_password: str = field(repr=False)
    serving_password: str = field(repr=False)
    payment_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    model_keys: Mapping[str, str] = field(repr=False)


def load_secrets(directory: Path, model_servers: tuple[str, ...]) -> InstallationSecrets:
    """Read the secrets, making those that are not there yet.

    Raises:
        StateDamagedError: one is unreadable, or cut short.
    """
    _make(kek_file(directory), _new_keks)
    return InstallationSecrets(
        pepper=_secret(directory / "pepper"),
        contents_key=_secret(directory / "contents_key"),
        postgres_password=_secret(directory / "postgres_password"),
        serving_password=_secret(directory / "postgres_serving_password"),
        payment_key=_secret(directory / "payment_key"),
        webhook_secret=_secret(webhook_secret_file(directory)),
        model_keys={name: _secret(model_key_file(directory, name)) for name in model_servers},
    )


def webhook_secret_file(directory: Path) -> Path:
    """Where the local payment provider finds what it signs with."""
    return directory / "payment_webhook_secret"


def kek_file(directory: Path) -> Path:
    """Where accounts and the router find what customers' own provider keys are sealed under."""
    return directory / "keks.yaml"


def model_key_file(directory: Path, server: str) -> Path:
    """Where a model server finds the API key that it wants."""
    return directory / f"{server}_key"


def _new_keks() -> str:
    key = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
    return f'current: local\nkeys:\n  local: "{key}"\n'


def _secret(path: Path) -> str:
    value = _make(path, lambda: secrets.token_urlsafe(_BYTES))
    if len(value) < _LEAST_LENGTH:
        raise StateDamagedError(f"the secret {path} is cut short; delete it to have a new one made")
    return value


def _make(path: Path, new: Callable[[], str]) -> str:
    """Return what a file holds; it is written first if it is not there."""
    try:
        if not path.exists():
            write_private(path, new())
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise StateDamagedError(f"cannot read or make the secret {path}: {error}") from None
