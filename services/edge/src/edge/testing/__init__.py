"""Doubles of the edge's ports, and a whole edge over them. The doubles pass the same suites as the real adapters."""
