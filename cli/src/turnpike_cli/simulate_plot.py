"""First-token times over time, drawn in the terminal and as SVG: one chart for each scenario, a line for each policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import leather
import plotille

from router.simulation.comparison import Run

_SLICE_SECONDS = 10.0
_SHARE = 0.99
# Beyond it nothing more is to be seen: everybody has waited far too long.
_MOST_SECONDS = 10.0
_ABOUT = f"p99 of the seconds to the first token, every {_SLICE_SECONDS:.0f} s, cut at {_MOST_SECONDS:.0f}"
# Of each line, in the terminal and in SVG.
COLOURS = (
    ("green", "#1a9850"),
    ("red", "#d73027"),
    ("blue", "#4575b4"),
    ("yellow", "#b8860b"),
    ("magenta", "#984ea3"),
    ("cyan", "#17becf"),
)
_CHART_WIDTH, _CHART_HEIGHT = 360, 280
_COLUMNS, _ROWS = 72, 14

_Line = list[tuple[float, float]]


def drawn_in_text(runs: Sequence[Run]) -> str:
    """Draw with characters, for a terminal."""
    return "\n\n".join(_figure(title, lines) for title, lines in _charts(runs))


def drawn_in_svg(runs: Sequence[Run]) -> str:
    """Draw as an SVG document."""
    for part in ("title", "legend", "axis_title", "tick"):
        setattr(leather.theme, f"{part}_font_family", "monospace")
    grid = leather.Grid()
    charts = _charts(runs)
    for title, lines in charts:
        chart = leather.Chart(title)
        chart.add_x_scale(0, max(x for _, line in lines for x, _ in line))
        chart.add_y_scale(0, _MOST_SECONDS)
        for (name, line), (_, colour) in zip(lines, COLOURS, strict=False):
            chart.add_line(line, name=name, stroke_color=colour)
        grid.add_one(chart)
    # As many as the grid itself puts in a row.
    columns = math.ceil(math.sqrt(len(charts)))
    rows = -(-len(charts) // columns)
    return str(grid.to_svg(width=_CHART_WIDTH * columns, height=_CHART_HEIGHT * rows))


def _charts(runs: Sequence[Run]) -> list[tuple[str, list[tuple[str, _Line]]]]:
    """Title and lines of each chart."""
    return [
        (name, [(run.policy, _line(run)) for run in group])
        for name, group in groupby(runs, key=lambda run: run.scenario.name)
    ]


def _line(run: Run) -> _Line:
    return [(at, min(_MOST_SECONDS, seconds)) for at, seconds in run.measured.slowest(_SLICE_SECONDS, _SHARE)]


def _label(value: float, chars: int, delta: float, left: bool = False) -> str:
    """A number at an axis; plotille's own are eight digits long."""
    del delta
    text = f"{value:.1f}"
    return text.ljust(chars) if left else text.rjust(chars)


def _figure(title: str, lines: Sequence[tuple[str, _Line]]) -> str:
    figure = plotille.Figure()
    figure.width, figure.height = _COLUMNS, _ROWS
    figure.set_x_limits(min_=0, max_=max(x for _, line in lines for x, _ in line))
    figure.register_label_formatter(float, _label)
    figure.set_y_limits(min_=0, max_=_MOST_SECONDS)
    figure.origin = False
    figure.x_label, figure.y_label = "s", "s"
    for (name, line), (colour, _) in zip(lines, COLOURS, strict=False):
        figure.plot([x for x, _ in line], [y for _, y in line], label=name, lc=colour)
    return f"{title}: {_ABOUT}\n{figure.show(legend=True)}"
