from __future__ import annotations

import pytest

from localstack.settings import inherited_environment


def test_children_inherit_what_was_set_for_them() -> None:
    inherited = inherited_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "EDGE_LOG_LEVEL": "debug"})
    assert inherited["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://c:4317"
    assert inherited["EDGE_LOG_LEVEL"] == "debug"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "a.example"}, "a.example,127.0.0.1,localhost"),
        ({"NO_PROXY": "b.example"}, "b.example,127.0.0.1,localhost"),
        ({"no_grpc_proxy": "c.example", "no_proxy": "a.example"}, "c.example,127.0.0.1,localhost"),
    ],
)
def test_calls_to_this_machine_go_through_no_proxy(given: dict[str, str], expected: str) -> None:
    assert inherited_environment({"http_proxy": "http://proxy:3128", **given})["no_grpc_proxy"] == expected
