"""Who is signed in where: kept in one file below the user's configuration folder, which nobody else may read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from localstack.state import write_private
from turnpike_cli.errors import CommandError

_FILE = "credentials.json"
_OTHERS = 0o077


class TokenKind(StrEnum):
    """What a sign-in gave."""

    SESSION = "session"
    KEY = "key"


@dataclass(frozen=True)
class SignIn:
    """A token for one Turnpike. A session stands for a person; a key asks models and manages nothing."""

    kind: TokenKind
    token: str = field(repr=False)


class SignIns:
    """The file. `current` is where somebody signed in last."""

    def __init__(self, folder: Path) -> None:
        """Name the file below `folder`; nothing is read or made."""
        self._folder = folder
        self.path = folder / _FILE

    @property
    def current(self) -> str | None:
        """The base URL of the last sign-in.

        Raises:
            CommandError: the file cannot be used.
        """
        return self._read()[0]

    def at(self, base_url: str) -> SignIn | None:
        """The sign-in at a base URL.

        Raises:
            CommandError: the file cannot be used.
        """
        return self._read()[1].get(base_url)

    def keep(self, base_url: str, sign_in: SignIn) -> None:
        """Keep a sign-in in place of an earlier one.

        Raises:
            CommandError: the file cannot be used.
        """
        self._write(base_url, self._read()[1] | {base_url: sign_in})

    def forget(self, base_url: str) -> None:
        """Forget the sign-in at a base URL.

        Raises:
            CommandError: the file cannot be used.
        """
        current, kept = self._read()
        kept.pop(base_url, None)
        self._write(None if current == base_url else current, kept)

    def _read(self) -> tuple[str | None, dict[str, SignIn]]:
        try:
            if self.path.stat().st_mode & _OTHERS:
                raise CommandError(f"others can read {self.path}; `chmod 600` it, and sign in anew if they may have")
            document = json.loads(self.path.read_text(encoding="utf-8"))
            kept = {
                str(url): SignIn(TokenKind(each["kind"]), str(each["token"]))
                for url, each in document["sign_ins"].items()
            }
            current = document["current"]
            return (current if current in kept else None), kept
        except FileNotFoundError:
            return None, {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise CommandError(f"{self.path} is not readable; delete it and sign in anew") from None

    def _write(self, current: str | None, kept: dict[str, SignIn]) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            document = {"current": current, "sign_ins": {url: asdict(each) for url, each in kept.items()}}
            write_private(self.path, json.dumps(document, indent=2) + "\n")
        except OSError as error:
            raise CommandError(f"cannot write {self.path}: {error.strerror or error}") from None
