from __future__ import annotations

import pytest

from servicekit.kafka.records import WireHeaders

RAW = (("ce_id", b"1"), ("traceparent", b"old"), ("empty", None), ("traceparent", b"new"), ("bad", b"\xff"))


def test_headers_are_text_and_the_last_of_a_name_counts() -> None:
    headers = WireHeaders(RAW)

    assert dict(headers) == {"ce_id": "1", "traceparent": "new", "bad": "�"}
    assert (len(headers), headers.get("traceparent"), headers.get("empty"), "ce_id" in headers) == (
        3,
        "new",
        None,
        True,
    )
    assert WireHeaders(()) == {}
    with pytest.raises(KeyError):
        headers["empty"]
