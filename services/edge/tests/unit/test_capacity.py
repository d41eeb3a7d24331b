"""Places in one process."""

from __future__ import annotations

import pytest

from edge.domain.capacity import Capacity
from edge.domain.errors import BusyError


def test_places_are_given_back_whatever_happens() -> None:
    capacity = Capacity(1)
    with capacity.place(), pytest.raises(BusyError):
        capacity.place().__enter__()
    with pytest.raises(ZeroDivisionError), capacity.place():
        raise ZeroDivisionError
    assert capacity.used == 0
    with capacity.place():
        assert capacity.used == 1
