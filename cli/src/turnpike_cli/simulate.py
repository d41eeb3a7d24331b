"""`turnpike simulate`: the router's own decisions over made-up fleets in trouble, beside other ways of choosing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import click
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from router.simulation.comparison import Run, compare, policies_named, scenarios_named
from router.simulation.policies import POLICIES
from router.simulation.scenarios import SCENARIOS
from turnpike_cli.errors import CommandError
from turnpike_cli.options import json_option
from turnpike_cli.output import note, show_json
from turnpike_cli.simulate_plot import drawn_in_svg, drawn_in_text

_TERMINAL = Path("-")
# The table is as wide as it must be: a cut figure is no figure.
_WIDTH = 400
_HEADS = ("scenario", "policy", "success", "p50 s", "p99 s", "$ / 1,000", "attempts", "answered by")


@click.command()
@click.option(
    "--scenario",
    "scenarios",
    type=click.Choice([scenario.name for scenario in SCENARIOS]),
    multiple=True,
    help="What goes wrong; may be repeated. All by default.",
)
@click.option(
    "--policy",
    "policies",
    type=click.Choice(list(POLICIES)),
    multiple=True,
    help="How endpoints are chosen; may be repeated. All by default; `share` is the router's own.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same figures.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Draw first-token times over time; - draws them here.",
)
@json_option
def simulate(scenarios: Sequence[str], policies: Sequence[str], seed: int, plot: Path | None, as_json: bool) -> None:
    """Compare ways of choosing endpoints over made-up fleets, in virtual time.

    Every policy gets the same requests, endpoints, health checks and failover; only the order of endpoints differs. A
    request that nobody answers counts in the percentiles as one that took all of its caller's patience.
    """
    if plot is not None and plot != _TERMINAL and plot.suffix != ".svg":
        raise click.UsageError(f"{plot}: a plot is an .svg file, or - for the terminal")
    if as_json and plot == _TERMINAL:
        raise click.UsageError("--json and --plot - would be mixed up")
    chosen, named = scenarios_named(scenarios), policies_named(policies)
    with click.progressbar(
        compare(chosen, named, seed),
        length=len(chosen) * len(named),
        file=sys.stderr,
        item_show_func=lambda run: None if run is None else f"{run.scenario.name}, {run.policy}",
    ) as running:
        runs = list(running)
    if as_json:
        show_json([run.as_json() for run in runs])
    else:
        click.echo(_markdown(_table(runs)))
    if plot == _TERMINAL:
        click.echo(drawn_in_text(runs))
    elif plot is not None:
        _write(plot, drawn_in_svg(runs))


def _table(runs: Sequence[Run]) -> Table:
    table = Table(*_HEADS, box=MARKDOWN)
    for column in table.columns[2:7]:
        column.justify = "right"
    for run in runs:
        measured = run.measured
        table.add_row(
            run.scenario.name,
            run.policy,
            f"{measured.success:.2%}",
            f"{measured.first_token(0.5):.2f}",
            f"{measured.first_token(0.99):.2f}",
            f"{measured.usd_per_thousand:.3f}",
            f"{measured.attempts_per_request:.3f}",
            ", ".join(f"{name} {share:.0%}" for name, share in measured.shares().items()),
        )
    return table


def _markdown(table: Table) -> str:
    console = Console(file=StringIO(), width=_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip()


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from None
    note(f"{file} written")
