"""The official clients, unmodified, against the running system: what each of them makes of our answers.

The small real model answers the question; tools, structured answers, errors and the stream that is left come from the simulator,
because the small model is too small for tools.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clients_support.runs import CLIENTS, Told, cancelled_calls, record_of
from e2e_support.stack import SMOLLM2, Stack, wait_until

Tell = Callable[[str], Told]

# The first use of a client may have to install it.
pytestmark = pytest.mark.timeout(400)
every_client = pytest.mark.parametrize("client", CLIENTS)
ANTHROPIC = [client for client in CLIENTS if "anthropic" in client]


@every_client
def test_a_whole_answer(client: str, told: Tell) -> None:
    facts = told(client)["whole"]
    assert facts["text"]
    assert facts["output_tokens"] > 0
    assert facts["id"].startswith("gen-")


@every_client
def test_a_stream(client: str, told: Tell) -> None:
    facts = told(client)["stream"]
    assert facts["pieces"] > 1
    assert facts["text"]
    # What the client itself has put together of the pieces, where it does.
    assert facts.get("whole", facts["text"]) == facts["text"]
    assert facts["output_tokens"] > 0


@every_client
def test_a_tool_is_called_and_its_result_answered(client: str, told: Tell) -> None:
    facts = told(client)["tools"]
    assert facts["name"] == "get_weather"
    assert facts["arguments"] == {"city": "simulated", "days": facts["arguments"]["days"]}
    assert isinstance(facts["arguments"]["days"], int)
    assert facts["reason"] in {"tool_calls", "tool-calls", "tool_use"}
    assert "sunny" in facts["text"]


@every_client
def test_a_structured_answer(client: str, told: Tell) -> None:
    value = told(client)["structured"]["value"]
    assert value == {"city": "simulated", "days": value["days"]}
    assert isinstance(value["days"], int)


@every_client
def test_an_error_is_the_clients_own_with_its_status(client: str, told: Tell) -> None:
    facts = told(client)["error"]
    assert facts["status"] == 400
    assert facts["kind"] in {"BadRequestError", "BadRequestResponseError", "AI_APICallError"}
    assert facts.get("error_type", "invalid_request") == "invalid_request"


@every_client
def test_a_wrong_key_is_the_clients_own_error(client: str, told: Tell) -> None:
    facts = told(client)["unauthorized"]
    assert facts["status"] == 401
    assert facts["kind"] in {"AuthenticationError", "UnauthorizedResponseError", "AI_APICallError"}


@every_client
def test_a_stream_that_breaks_is_noticed(client: str, told: Tell) -> None:
    assert told(client)["broken"]["kind"]


@every_client
def test_a_client_that_leaves_stops_the_provider(client: str, told: Tell, stack: Stack) -> None:
    facts, before = told(client)["cancel"], told(client).cancelled_before
    wait_until(lambda: cancelled_calls(stack) > before, "the provider's call was not cancelled")
    if facts["id"] is not None:
        wait_until(lambda: record_of(stack, facts["id"]) is not None, "the generation was not recorded")
        record = record_of(stack, facts["id"])
        assert record is not None
        assert record["cancelled"]
        assert 0 < record["tokens_completion"] < 100


@pytest.mark.parametrize("client", ["openai", "npm openai"])
def test_responses_whole_and_streamed(client: str, told: Tell) -> None:
    facts = told(client)["responses"]
    assert facts["text"]
    assert facts["pieces"] > 1
    assert facts["streamed"] == facts["whole"]
    assert facts["output_tokens"] > 0


@pytest.mark.parametrize("client", ["openai", "npm openai"])
def test_texts_become_vectors_of_the_real_model(client: str, told: Tell) -> None:
    facts = told(client)["embeddings"]
    assert facts["sizes"] == [384, 384]
    assert facts["tokens"] > 0


@pytest.mark.parametrize("client", ["openai", "openrouter", "npm openai", "npm @openrouter/sdk"])
def test_models_are_listed(client: str, told: Tell) -> None:
    assert SMOLLM2 in told(client)["models"]["ids"]


@pytest.mark.parametrize("client", ANTHROPIC)
def test_tokens_are_counted(client: str, told: Tell) -> None:
    assert told(client)["count"]["input_tokens"] > 0


def test_thinking_goes_back_and_forth(told: Tell) -> None:
    facts = told("anthropic")["thinking"]
    assert facts["kinds"] == ["thinking", "text"]
    assert facts["again"] == ["thinking", "text"]
