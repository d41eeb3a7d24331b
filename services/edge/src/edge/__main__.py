"""`python -m edge`: serve the public HTTP API."""

from __future__ import annotations

import servicekit
from edge.app import wire
from edge.settings import Settings


def main() -> None:
    """Run the edge as this process."""
    servicekit.run("edge", Settings, wire)


if __name__ == "__main__":
    main()
