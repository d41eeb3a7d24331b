"""Everything that Turnpike is, on one machine: real processes, started, watched and stopped together."""
