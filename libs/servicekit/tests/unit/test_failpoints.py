from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from servicekit.failpoints import Failpoints, parse_failpoints

POINTS = ("write.before", "write.after")


def test_point_kills_the_nth_time_and_no_other() -> None:
    killed: list[int] = []
    failpoints = Failpoints(POINTS, ["write.after:2"], kill=lambda: killed.append(1))
    hits = []
    for _ in range(4):
        failpoints.reach("write.before")
        failpoints.reach("write.after")
        hits.append(len(killed))

    assert hits == [0, 1, 1, 1]


def test_no_point_kills_by_default() -> None:
    killed: list[int] = []
    failpoints = Failpoints(POINTS, kill=lambda: killed.append(1))
    for point in POINTS:
        failpoints.reach(point)

    assert killed == []


def test_words_are_read_with_their_counts() -> None:
    assert parse_failpoints(POINTS, ["write.before", "write.after:3"]) == {"write.before": 1, "write.after": 3}


@pytest.mark.parametrize("word", ["nowhere", "write.after:0", "write.after:x", ""])
def test_word_that_names_no_point_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="failpoint"):
        Failpoints(POINTS, [word])


def test_process_ends_at_the_point_without_any_clean_up() -> None:
    program = (
        "import atexit\n"
        "from servicekit.failpoints import Failpoints\n"
        "atexit.register(print, 'goodbye')\n"
        "points = Failpoints(['here'], ['here:2'])\n"
        "for step in range(3):\n"
        "    print(step, flush=True)\n"
        "    points.reach('here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "0\n1\n"
