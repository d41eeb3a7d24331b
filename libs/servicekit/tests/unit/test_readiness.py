from __future__ import annotations

import pytest

from servicekit.readiness import Phase, Readiness


def test_ready_means_running_and_every_check_passes() -> None:
    readiness, connected = Readiness(), False
    readiness.add("store", lambda: connected)
    assert readiness.results() == {"phase": False, "store": False}
    readiness.enter(Phase.RUNNING)
    assert readiness.results() == {"phase": True, "store": False}
    connected = True
    assert readiness.ready
    readiness.enter(Phase.DRAINING)
    assert readiness.results() == {"phase": False, "store": True}


def test_a_check_that_raises_has_failed() -> None:
    readiness = Readiness()
    readiness.enter(Phase.RUNNING)
    readiness.add("store", lambda: bool(1 / 0))
    assert readiness.results() == {"phase": True, "store": False}


def test_names_are_given_once() -> None:
    readiness = Readiness()
    readiness.add("store", lambda: True)
    with pytest.raises(ValueError, match="store"):
        readiness.add("store", lambda: True)


def test_listeners_hear_of_each_phase_in_which_it_already_is() -> None:
    readiness, heard = Readiness(), list[tuple[Phase, Phase]]()
    readiness.on_phase(lambda phase: heard.append((phase, readiness.phase)))
    readiness.enter(Phase.RUNNING)
    readiness.enter(Phase.DRAINING)
    assert heard == [(Phase.RUNNING, Phase.RUNNING), (Phase.DRAINING, Phase.DRAINING)]
