"""What tests of the command use."""

from turnpike_cli.testing.processes import Ended, RunningStack, Turnpike, turnpike_program

__all__ = ["Ended", "RunningStack", "Turnpike", "turnpike_program"]
