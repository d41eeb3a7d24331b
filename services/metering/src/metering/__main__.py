"""`python -m metering`."""

from __future__ import annotations

from metering.app import wire
from metering.settings import Settings
from servicekit import run


def main() -> None:
    """Run metering as this process."""
    run("metering", Settings, wire)


if __name__ == "__main__":
    main()
