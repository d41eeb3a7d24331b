"""`python -m edge`: serve the public HTTP API."""

from __future__ import annotations

import servicekit
from edge.app import wire
from edge.settings import Settings
from servicekit.garbage import collect_rarely


def main() -> None:
    """Run the edge as this process."""
    # An edge holds keys and wallets by the ten thousand, and each look through all of them is a stall for every caller.
    collect_rarely()
    servicekit.run("edge", Settings, wire)


if __name__ == "__main__":
    main()
