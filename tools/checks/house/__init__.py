"""Turnpike's own lints: what ruff, mypy and import-linter cannot say. Run by `make house`."""
