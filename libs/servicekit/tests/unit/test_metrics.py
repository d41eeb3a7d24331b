from __future__ import annotations

from servicekit.metrics import CounterSpec, GaugeSpec, HistogramSpec, LevelSpec
from servicekit.testing import RecordingTelemetry

SOLD = CounterSpec("shop.sales.count", "{sale}", "Sales.")
OPEN = LevelSpec("shop.tills.open", "{till}", "Open tills.")
WAIT = HistogramSpec("shop.queue.wait", "s", "Time in the queue.", (1, 2))
STOCK = GaugeSpec("shop.stock.items", "{item}", "Items on the shelf.")


def test_declared_instruments_record_into_any_meter() -> None:
    telemetry = RecordingTelemetry()
    sold, tills, wait = SOLD.create(telemetry.meter), OPEN.create(telemetry.meter), WAIT.create(telemetry.meter)
    sold.add(2, {"item": "tea"})
    sold.add(3, {"item": "salt"})
    tills.add(5)
    tills.add(-2)
    wait.record(1.5)
    assert telemetry.metric("shop.sales.count") == 5
    assert telemetry.metric("shop.sales.count", {"item": "salt"}) == 3
    assert telemetry.metric("shop.tills.open") == 3
    assert telemetry.metric("shop.queue.wait") == 1


def test_a_gauge_is_looked_up_when_it_is_collected_with_one_value_or_several() -> None:
    telemetry, stock = RecordingTelemetry(), {"tea": 4.0, "salt": 1.0}
    STOCK.create(telemetry.meter, lambda: [(count, {"item": item}) for item, count in stock.items()])
    assert telemetry.metric("shop.stock.items", {"item": "tea"}) == 4
    stock["tea"] = 9
    assert telemetry.metric("shop.stock.items", {"item": "tea"}) == 9
    alone = RecordingTelemetry()
    STOCK.create(alone.meter, lambda: 7)
    assert alone.metric("shop.stock.items") == 7
