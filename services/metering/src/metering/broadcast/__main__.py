"""`python -m metering.broadcast`."""

from __future__ import annotations

from metering.broadcast.app import wire
from metering.broadcast.settings import Settings
from servicekit import run


def main() -> None:
    """Run the sender as this process."""
    run("broadcast", Settings, wire)


if __name__ == "__main__":
    main()
