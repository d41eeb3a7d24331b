from __future__ import annotations

from metering.recent import RecentEvent, RecentEvents


def test_the_oldest_event_is_forgotten_first() -> None:
    recent = RecentEvents(2)
    for name in ("a", "b", "a", "c"):
        recent.put(name, RecentEvent("org", 3, name.encode()))

    assert recent.get("b") is None
    assert recent.get("a") is not None
    assert recent.get("c") is not None
    assert len(recent) == 2


def test_a_lower_rank_does_not_replace_a_higher_one() -> None:
    recent = RecentEvents(2)
    for rank in (2, 3, 1):
        recent.put("a", RecentEvent("org", rank, b"%d" % rank))

    assert recent.get("a") == RecentEvent("org", 3, b"3")
