from __future__ import annotations

import pytest

from sim.answer import MARKER, compose_answer, strikes
from sim.behaviour import Behaviour, Fault, Text, UnknownModelError, parse_behaviour

HELLO = [{"role": "user", "content": "one two three"}]


def test_a_plain_name_is_a_short_quick_answer() -> None:
    assert parse_behaviour("sim-echo") == Behaviour(Text.ECHO)


def test_options_follow_a_question_mark() -> None:
    name = "sim-lorem?tokens=100&gap_ms=20&first_ms=200&rate_limit=5&fault=error-529&p=0.1&retry_after=date-7"
    assert parse_behaviour(name) == Behaviour(
        Text.LOREM,
        tokens=100,
        gap_ms=20,
        first_ms=200,
        rate_limit=5,
        fault=Fault.ERROR,
        status=529,
        p=0.1,
        retry_after="date-7",
    )


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in {Fault.ERROR, Fault.ECHO}])
def test_every_fault_has_its_name(fault: Fault) -> None:
    assert parse_behaviour(f"sim-echo?fault={fault}").fault is fault


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4",
        "sim-",
        "sim-poem",
        "sim-echo?tokens",
        "sim-echo?tokens=-1",
        "sim-echo?tokens=1e3",
        "sim-echo?tokens=999999999999999999999",
        "sim-echo?gap_ms=",
        "sim-echo?p=2",
        "sim-echo?p=nan",
        "sim-echo?fault=error",
        "sim-echo?fault=echo",
        "sim-echo?fault=error-200",
        "sim-echo?fault=fire",
        "sim-echo?retry_after=soon",
        "sim-echo?colour=red",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownModelError):
        parse_behaviour(name)


def test_echo_repeats_the_last_message_after_the_marker() -> None:
    answer = compose_answer(0, "sim-echo", Behaviour(Text.ECHO), HELLO, None)
    assert "".join(answer.content) == f"{MARKER} one two three"
    assert (answer.prompt_tokens, answer.completion_tokens, answer.finish_reason) == (4, 4, "stop")


def test_equal_requests_get_equal_answers_and_other_seeds_others() -> None:
    behaviour = parse_behaviour("sim-lorem?tokens=30")
    first, again, other = (compose_answer(seed, "sim-lorem", behaviour, HELLO, None) for seed in (1, 1, 2))
    assert first == again
    assert first.content != other.content
    assert first.completion_tokens == 30


def test_a_limit_cuts_the_reasoning_first() -> None:
    behaviour = parse_behaviour("sim-lorem?tokens=10&reasoning=20")
    answer = compose_answer(0, "m", behaviour, HELLO, 16)
    assert (len(answer.reasoning), len(answer.content), answer.finish_reason) == (16, 0, "length")
    assert answer.usage()["completion_tokens_details"] == {"reasoning_tokens": 16}


def test_parts_of_a_message_are_read() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "a b"}, {"type": "image_url"}, 5]}]
    assert compose_answer(0, "m", Behaviour(Text.ECHO), parts, None).prompt_tokens == 3


def test_faults_by_chance_are_repeatable_and_about_as_frequent_as_said() -> None:
    behaviour = parse_behaviour("sim-echo?fault=reset&p=0.25")
    struck = [strikes(3, "m", behaviour, HELLO, number) for number in range(1, 1001)]
    assert struck == [strikes(3, "m", behaviour, HELLO, number) for number in range(1, 1001)]
    assert 200 < struck.count(Fault.RESET) < 300


def test_a_fault_can_be_limited_to_the_first_requests() -> None:
    behaviour = parse_behaviour("sim-echo?fault=reset&times=2")
    assert [strikes(0, "m", behaviour, HELLO, number) for number in (1, 2, 3)] == [Fault.RESET, Fault.RESET, None]
