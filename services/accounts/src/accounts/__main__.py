"""`python -m accounts`."""

from __future__ import annotations

from accounts.app import wire
from accounts.settings import Settings
from servicekit import run


def main() -> None:
    """Run accounts as this process."""
    run("accounts", Settings, wire)


if __name__ == "__main__":
    main()
