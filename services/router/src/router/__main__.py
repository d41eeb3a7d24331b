"""`python -m router`."""

from router.app import wire
from router.settings import Settings
from servicekit import run


def main() -> None:
    """Run the router until it is told to stop."""
    run("router", Settings, wire)


if __name__ == "__main__":
    main()
