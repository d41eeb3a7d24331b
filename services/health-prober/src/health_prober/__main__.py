"""`python -m health_prober`."""

from __future__ import annotations

import servicekit
from health_prober.app import wire
from health_prober.settings import Settings


def main() -> None:
    """Run the service."""
    servicekit.run("health-prober", Settings, wire)


if __name__ == "__main__":
    main()
