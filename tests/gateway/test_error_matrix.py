"""Every type of error and every availability code over HTTP, in each dialect, before and after the first byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.error_types import AVAILABILITY, STATUSES, AvailabilityCode, ErrorType
from dialects.responses import LENGTH_ERRORS
from edge.settings import HttpSettings, StreamSettings
from edge.testing.stack import Answer, EdgeStack
from gateway_support.error_cases import EARLY, LATE, Case
from gateway_support.speakers import SPEAKERS, Responses, Speaker
from gateway_support.stack import gateway
from router.testing.catalogs import Offer
from router.testing.scripted_provider import ScriptedProvider
from servicekit.durations import parse_duration
from servicekit.testing import BrokerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

_BODY_LIMIT = 200_000


def model_of(case: Case, speaker: Speaker) -> str:
    """Each case in each dialect has a model of its own: what one learns of an endpoint is nothing to another."""
    return f"acme/{case.name}-{speaker.name}"


@asynccontextmanager
async def serving(folder: Path, bootstrap: str, cases: Sequence[Case]) -> AsyncIterator[EdgeStack]:
    """Edge and router over the providers of some cases."""
    async with AsyncExitStack() as stack:
        offers: list[Offer] = []
        for case in cases:
            for speaker in SPEAKERS:
                providers = [
                    await stack.enter_async_context(ScriptedProvider(case.script)) for _ in range(case.providers)
                ]
                offers += case.offers(model_of(case, speaker), [provider.url for provider in providers])
        sections = {
            "http": HttpSettings(port=0, body_limit=_BODY_LIMIT),
            # A comment would be the first byte, and come at the moment at which a silent provider is given up.
            "stream": StreamSettings(keep_alive=parse_duration("30s")),
        }
        yield await stack.enter_async_context(gateway(folder, bootstrap, offers, **sections))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory, broker: BrokerProcess) -> AsyncIterator[EdgeStack]:
    """In front of every case with one provider."""
    cases = [case for case in (*EARLY, *LATE) if case.providers == 1]
    async with serving(tmp_path_factory.mktemp("errors"), broker.bootstrap, cases) as edge:
        yield edge


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def failing_over(tmp_path_factory: pytest.TempPathFactory, broker: BrokerProcess) -> AsyncIterator[EdgeStack]:
    """In front of the others: among so many failures a router's budget of further attempts would be spent."""
    cases = [case for case in EARLY if case.providers > 1]
    async with serving(tmp_path_factory.mktemp("failover"), broker.bootstrap, cases) as edge:
        yield edge


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(edge: EdgeStack) -> dict[str, str]:
    accounts = edge.around.accounts
    poor = accounts.add_org(1)
    key, record = accounts.add_key(poor.org_id)
    await edge.publisher.publish(poor, record)
    return {"owner": edge.key, "nobody": "", "poor": key, "manager": edge.management_key}


async def ask(edge: EdgeStack, callers: dict[str, str], case: Case, speaker: Speaker, *, stream: bool) -> Answer:
    model = model_of(case, speaker)
    request = case.request(f"{model}:free" if case.code is AvailabilityCode.FREE_VARIANT_ENDED else model)
    body = speaker.body(request) | ({"stream": True} if stream else {})
    return await edge.call("POST", speaker.path, body, key=callers[case.caller], headers=case.headers)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@pytest.mark.parametrize("case", EARLY, ids=lambda case: case.name)
async def test_before_the_first_byte_an_error_has_its_status_and_its_type(
    edge: EdgeStack, failing_over: EdgeStack, callers: dict[str, str], case: Case, speaker: Speaker, stream: bool
) -> None:
    if case.providers > 1:
        answer = await ask(failing_over, {"owner": failing_over.key}, case, speaker, stream=stream)
    else:
        answer = await ask(edge, callers, case, speaker, stream=stream)
    if isinstance(speaker, Responses) and case.error_type in LENGTH_ERRORS and not case.at_the_edge:
        assert speaker.too_long(answer) == "max_output_tokens"
        return
    said = speaker.error(answer)
    assert (said.error_type, said.status) == (case.error_type, STATUSES[case.error_type])
    assert ("Retry-After" in answer.headers) or not case.retry_after
    if case.name == "silence" and not stream:
        # The deadline of the caller is over at both ends at once: either of them may say it first.
        return
    if case.code is None:
        assert said.availability is None
        return
    availability = said.availability
    assert availability is not None
    assert availability["code"] == case.code
    assert availability["retryable"] is AVAILABILITY[case.code].retryable
    assert availability["requested_models"]
    assert availability["docs_url"].endswith(f"#{case.code}")
    assert {name: availability.get(name) for name in case.tells} == dict(case.tells)
    if case.code is AvailabilityCode.CAPACITY_EXHAUSTED and case.retry_after:
        assert 1 <= availability["retry_after"] <= 7
        assert len(availability["affected_providers"]) == case.providers
    if case.code is AvailabilityCode.FREE_VARIANT_ENDED:
        assert availability["fallback_models"] == [model_of(case, speaker)]


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
@pytest.mark.parametrize("case", LATE, ids=lambda case: case.name)
async def test_after_the_first_byte_an_error_is_the_last_event(
    edge: EdgeStack, callers: dict[str, str], case: Case, speaker: Speaker
) -> None:
    answer = await ask(edge, callers, case, speaker, stream=True)
    assert answer.status == 200
    assert speaker.text(answer) == "Hello"
    if isinstance(speaker, Responses) and case.error_type in LENGTH_ERRORS:
        assert speaker.too_long(answer) == "max_output_tokens"
        return
    said = speaker.late_error(answer)
    assert said.error_type == case.error_type
    assert said.status in (None, STATUSES[case.error_type])


async def test_every_type_and_every_code_has_a_case() -> None:
    # An error of ours has no cause on purpose: the edge's own tests make one.
    assert {case.error_type for case in EARLY} == set(ErrorType) - {ErrorType.SERVER}
    assert {case.code for case in EARLY if case.code is not None} == set(AvailabilityCode)
    for case in EARLY:
        # A reset and a silence have a status of their own, and still say whether to come back.
        if case.code is not None and case.name not in {"reset", "silence"}:
            assert AVAILABILITY[case.code].error_type is case.error_type
