"""Doubles of the prober's ports. They pass the same suites as the real ones."""

from health_prober.testing.doubles import MemoryVerdictLog, ScriptedCaller

__all__ = ["MemoryVerdictLog", "ScriptedCaller"]
