"""How results are shown: columns for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click


def show_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below their heads, never cut or wrapped: the output may be read by a program after all."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_json(value: Any) -> None:
    """Print a value as JSON; amounts become strings, so that no reader rounds them."""
    click.echo(json.dumps(value, indent=2, default=_as_text))


def note(text: str) -> None:
    """Say something to people that is not the result."""
    click.echo(text, err=True)


def usd(amount: Decimal | float | None) -> str:
    """An amount in dollars, exactly; a dash for none."""
    return "-" if amount is None else f"${Decimal(amount):f}"


def _as_text(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"not JSON: {type(value).__name__}")
