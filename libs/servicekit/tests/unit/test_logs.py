from __future__ import annotations

import asyncio
import io
import json
import logging
import math
import warnings
from typing import Any, Protocol

import pytest
from pydantic import SecretStr

from servicekit.logs import bind_request, configure_logs, current_request_id, get_logger
from servicekit.settings import LogSettings
from servicekit.testing import RecordingTelemetry
from servicekit.tracing import span


class Lines(Protocol):
    stream: io.StringIO

    @property
    def events(self) -> list[dict[str, Any]]: ...
    def named(self, event: str) -> list[dict[str, Any]]: ...


def test_an_event_is_one_json_object_a_line_with_service_instance_and_time(logged: Lines) -> None:
    get_logger("shop.tills").info("till.opened", till=3, customer="Müller", note="two\nlines")
    (line,) = logged.stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "till.opened",
        "level": "info",
        "logger": "shop.tills",
        "service": "shop",
        "instance": "shop-1",
        "till": 3,
        "customer": "Müller",
        "note": "two\nlines",
    }


def test_an_exception_stays_on_its_line_with_its_traceback(logged: Lines) -> None:
    try:
        raise KeyError("absent")
    except KeyError as error:
        get_logger("shop").error("till.failed", exc_info=error)
    (event,) = logged.events
    assert event["exception"].splitlines()[0] == "Traceback (most recent call last):"
    assert event["exception"].splitlines()[-1] == "KeyError: 'absent'"


def test_request_and_trace_ids_are_on_every_line_of_their_context(logged: Lines) -> None:
    telemetry, log = RecordingTelemetry(), get_logger("shop")
    with bind_request("request-1", org="acme"), span(telemetry.tracer, "sell"):
        assert current_request_id() == "request-1"
        log.info("sale.made")
    log.info("sale.ended")
    made, ended = logged.events
    (recorded,) = telemetry.spans
    assert recorded.context is not None
    assert (made["request_id"], made["org"]) == ("request-1", "acme")
    assert made["trace_id"] == f"{recorded.context.trace_id:032x}"
    assert made["span_id"] == f"{recorded.context.span_id:016x}"
    assert not {"request_id", "org", "trace_id", "span_id"} & ended.keys()
    assert current_request_id() is None


async def test_tasks_that_run_together_do_not_mix_up_their_ids(logged: Lines) -> None:
    log, both = get_logger("shop"), asyncio.Barrier(2)

    async def serve(number: int) -> None:
        bind_request(f"request-{number}")
        await both.wait()
        log.info("request.served", number=number)

    async with asyncio.TaskGroup() as tasks:
        for number in (1, 2):
            tasks.create_task(serve(number))
    assert {(event["request_id"], event["number"]) for event in logged.events} == {("request-1", 1), ("request-2", 2)}


def test_logs_of_libraries_take_the_same_form(logged: Lines) -> None:
    with bind_request("request-1"):
        try:
            raise OSError("gone")
        except OSError:
            logging.getLogger("some.library").exception("lost %s", "connection", extra={"peer": "db"})
    (event,) = logged.events
    assert (event["event"], event["logger"], event["level"]) == ("lost connection", "some.library", "error")
    assert (event["peer"], event["request_id"], event["service"]) == ("db", "request-1", "shop")
    assert event["exception"].endswith("OSError: gone")


def test_warnings_of_python_are_logged(logged: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
    (event,) = logged.events
    assert "UserWarning: old" in event["event"]


SEEDED = "tp_live_0123456789abcdefghijABCDEFGHIJ012345"


def test_s47_seeded_secrets_are_in_no_line_by_whatever_way_they_come(logged: Lines) -> None:
    log = get_logger("shop")
    log.info("key.seen", text=f"key {SEEDED}", nested={"list": [SEEDED, SecretStr(SEEDED)]}, raw=SEEDED.encode())
    log.info("key.seen", header={"X-Api-Key": "hunter2"}, client_secret="hunter2", dsn="postgres://u:hunter2@db/x")
    log.info("key.seen " + SEEDED)  # noqa: G003 - an event should be a constant, and this one is not
    logging.getLogger("some.library").warning("key %s", SEEDED, extra={"password": "hunter2"})
    with bind_request(SEEDED, cookie="hunter2"):
        try:
            raise ValueError(f"bad key {SEEDED}")
        except ValueError:
            log.exception("key.refused")
            logging.getLogger("some.library").exception("refused")
    text = logged.stream.getvalue()
    assert len(logged.events) == 6
    assert "0123456789abcdefghij" not in text
    assert "hunter2" not in text
    assert text.count("[redacted]") >= 10


@pytest.mark.parametrize("value", [object(), {("a", 1): 2}, {1, 2}, math.inf, b"\xff", ValueError("x"), 10**30])
def test_no_value_makes_logging_fail(logged: Lines, value: Any) -> None:
    get_logger("shop").info("value.seen", value=value)
    assert len(logged.named("value.seen")) == 1


def test_text_that_is_not_unicode_is_written_escaped(logged: Lines) -> None:
    raw = io.BytesIO()
    # The fixture puts back what this replaces.
    configure_logs(LogSettings(), service="shop", instance="shop-1", stream=io.TextIOWrapper(raw, encoding="ascii"))
    logging.getLogger("some.library").warning("path %s", b"caf\xc3\xa9\xff".decode("utf-8", "surrogateescape"))
    line = raw.getvalue()
    assert json.loads(line)["event"] == "path café\udcff"


@pytest.mark.parametrize(("level", "expected"), [("info", ["b", "c"]), ("error", ["c"]), ("debug", ["a", "b", "c"])])
def test_what_is_below_the_level_is_left_out(logged: Lines, level: Any, expected: list[str]) -> None:
    configure_logs(LogSettings(level=level), service="shop", instance="1", stream=logged.stream)
    log = get_logger("shop")
    log.debug("event.seen", name="a")
    log.info("event.seen", name="b")
    log.error("event.seen", name="c")
    assert [event["name"] for event in logged.events] == expected


def test_libraries_that_say_too_much_are_quiet_unless_asked(logged: Lines) -> None:
    noisy = logging.getLogger("aiokafka.consumer.fetcher")
    configure_logs(LogSettings(level="info"), service="shop", instance="1", stream=logged.stream)
    noisy.error("again and again")
    assert logged.events == []
    configure_logs(LogSettings(level="debug"), service="shop", instance="1", stream=logged.stream)
    noisy.error("again and again")
    assert len(logged.events) == 1


def test_the_console_format_is_for_people(logged: Lines) -> None:
    configure_logs(LogSettings(format="console"), service="shop", instance="1", stream=logged.stream)
    get_logger("shop").info("till.opened", token=f"Bearer {SEEDED}")
    text = logged.stream.getvalue()
    assert "till.opened" in text
    assert not text.startswith("{")
    assert SEEDED not in text
