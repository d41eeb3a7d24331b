from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from router.simulation.policies import POLICIES
from turnpike_cli.errors import CommandError
from turnpike_cli.simulate import simulate
from turnpike_cli.simulate_plot import COLOURS

CALM = ("--scenario", "calm", "--policy", "share", "--policy", "cheapest")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, arguments)


def test_the_table_is_markdown_with_a_row_for_each_run() -> None:
    result = run(*CALM)
    assert result.exit_code == 0, result.output
    head, rule, *rows = result.stdout.splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [
        "scenario",
        "policy",
        "success",
        "p50 s",
        "p99 s",
        "$ / 1,000",
        "attempts",
        "answered by",
    ]
    assert re.fullmatch(r"(\|-+)+\|", rule)
    assert [[cell.strip() for cell in row.strip("|").split("|")][:3] for row in rows] == [
        ["calm", "share", "100.00%"],
        ["calm", "cheapest", "100.00%"],
    ]
    assert rows[1].rstrip("| ").endswith("cheap 100%")


def figures(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_json_says_the_same_and_a_seed_makes_it_repeatable() -> None:
    first = figures(*CALM)
    assert [(each["scenario"], each["policy"], each["seed"]) for each in first] == [
        ("calm", "share", 1),
        ("calm", "cheapest", 1),
    ]
    assert first[1]["shares"] == {"cheap": 1.0}
    assert figures(*CALM, "--seed", "1") == first
    assert figures(*CALM, "--seed", "2") != first


def test_a_plot_is_a_sound_svg_with_a_chart_for_each_scenario(tmp_path: Path) -> None:
    file = tmp_path / "plot.svg"
    result = run(*CALM, "--scenario", "conversations", "--plot", str(file))
    assert result.exit_code == 0, result.output
    words = [element.text for element in ElementTree.parse(file).iter() if element.tag.endswith("text")]
    assert words.count("share") == words.count("cheapest") == 2
    assert {"calm", "conversations"} <= set(words)
    # Nothing is fetched to show it.
    assert set(re.findall(r"https?://[^\"]+", file.read_text(encoding="utf-8"))) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd",
    }


def test_a_plot_in_the_terminal_has_both_axes_and_a_legend() -> None:
    result = run(*CALM, "--plot", "-")
    assert result.exit_code == 0, result.output
    drawn = result.stdout.partition("calm: p99")[2]
    assert "10.0 |" in drawn
    assert "Legend" in drawn
    assert re.search(r"[⠁-⣿]", drawn)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--scenario", "nightmare"), "nightmare"),
        (("--policy", "luck"), "luck"),
        (("--seed", "one"), "one"),
        (("--plot", "plot.png"), "plot.png"),
        (("--plot", "-", "--json"), "mixed up"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_runs(arguments: tuple[str, ...], reason: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert reason in result.output
    assert not result.stdout


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    result = run(*CALM, "--plot", str(tmp_path / "missing" / "plot.svg"))
    assert isinstance(result.exception, CommandError)
    assert "missing" in str(result.exception)


def test_every_policy_has_a_colour() -> None:
    assert len(COLOURS) >= len(POLICIES)
    assert len({terminal for terminal, _ in COLOURS}) == len({svg for _, svg in COLOURS}) == len(COLOURS)
