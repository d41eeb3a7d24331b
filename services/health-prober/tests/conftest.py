"""Fixtures of the prober's tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "protos" / "examples" / "endpoint_verdict"


@pytest.fixture
def examples() -> Mapping[str, str]:
    """Published verdicts, as JSON, by name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.json")}
