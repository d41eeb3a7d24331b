"""Requests made from the OpenAPI document, good and bad ones: no defect, no status and no body that it does not describe."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from edge.testing.stack import EdgeStack

# How many requests there are in all; a release is tried with 20,000. Read here and nowhere else.
CASES: Final = int(os.environ.get("EDGE_TEST_DESCRIBED_CASES", "600"))
_SEED: Final = 20_260_101
# Requests of one round.
_ROUND: Final = 1_000
_TIMEOUT_S: Final = 30
_CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
Operation = Any


@dataclass
class Tally:
    """What came of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The figures."""
        return f"{sum(self.statuses.values())} requests, {dict(self.statuses)}, {len(self.failures)} kinds of failures"

    def fail(self, name: str, failure: Failure, case: Any) -> None:
        """Note a failure; of several of a kind the first one is kept."""
        first_line = failure.message.partition("\n\n")[0]
        key = f"{name}: {failure.title}: {first_line[:200]}"
        self.failures.setdefault(key, f"{key} <- {case.as_curl_command()[:800]}")


class Trial:
    """Sends what the document allows, and what it does not."""

    def __init__(
        self, document: Mapping[str, Any], url: str, keys: Mapping[str, str], known: Mapping[str, Sequence[str]]
    ):
        """Make a trial.

        Args:
            document: the OpenAPI document.
            url: of the API, with its prefix.
            keys: whole keys by name of the security scheme that they satisfy.
            known: values of path parameters that name something, by name.
        """
        schema = schemathesis.openapi.from_dict({**document, "servers": [{"url": url}]})
        self._operations: Sequence[Operation] = [
            found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)
        ]
        self._url = url
        self._keys = keys
        self._known = known
        self._http = requests.Session()
        self.tally = Tally()

    def run(self, cases: int) -> None:
        """Send about this many requests in rounds, and say after each what has come of them."""
        for number in range(max(1, cases // _ROUND)):
            self._round(min(cases, _ROUND), _SEED + number)
            print(f"described: {self.tally}")  # noqa: T201 - a long run is watched

    def _round(self, cases: int, chance: int) -> None:
        """Send the same number to each operation that has something to vary."""
        varied = [operation for operation in self._operations if self._varies(operation)]
        fixed = [operation for operation in self._operations if not self._varies(operation)]
        for operation in fixed:
            self._try(operation, GenerationMode.POSITIVE, 1, chance)
        each = max(2, (cases - len(fixed)) // max(1, len(varied)))
        for operation in varied:
            negative = self._can_be_wrong(operation)
            self._try(operation, GenerationMode.POSITIVE, each - each // 2 if negative else each, chance)
            if negative:
                self._try(operation, GenerationMode.NEGATIVE, each // 2, chance)

    def _try(self, operation: Operation, mode: GenerationMode, examples: int, chance: int) -> None:
        @seed(chance)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(operation.as_strategy(generation_mode=mode), st.data())
        def send(case: Any, data: st.DataObject) -> None:
            self._send(operation, case, data)

        send()

    def _send(self, operation: Operation, case: Any, data: st.DataObject) -> None:
        for name in list(case.path_parameters or ()):
            if name in self._known and data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(self._known[name]))
        case.headers["Authorization"] = f"Bearer {self._key(operation, data)}"
        try:
            response = case.call(base_url=self._url, session=self._http, timeout=_TIMEOUT_S)
        except requests.exceptions.InvalidHeader:
            return
        name = f"{operation.method.upper()} {operation.path}"
        self.tally.statuses[f"{response.status_code // 100}xx"] += 1
        try:
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as found:
            for failure in _leaves(found):
                self.tally.fail(name, failure, case)
        except Failure as failure:
            self.tally.fail(name, failure, case)

    def _key(self, operation: Operation, data: st.DataObject) -> str:
        """Nearly always the key that the operation needs; else another one, or one that nobody has."""
        needed = [name for each in operation.definition.raw.get("security", ()) for name in each]
        right = self._keys[needed[0] if needed else "inferenceKey"]
        return data.draw(st.sampled_from([right] * 18 + [*self._keys.values()]))

    @staticmethod
    def _varies(operation: Operation) -> bool:
        raw = operation.definition.raw
        return bool(raw.get("parameters") or raw.get("requestBody"))

    @staticmethod
    def _can_be_wrong(operation: Operation) -> bool:
        """Whether there is a wrong request: any text is right in a path."""
        raw = operation.definition.raw
        return bool(raw.get("requestBody")) or any(each["in"] != "path" for each in raw.get("parameters", ()))


def _leaves(group: BaseException) -> Iterator[Failure]:
    if isinstance(group, BaseExceptionGroup):
        for each in group.exceptions:
            yield from _leaves(each)
    elif isinstance(group, Failure):
        yield group


async def _document(edge: EdgeStack) -> dict[str, Any]:
    document = (await edge.call("GET", "/openapi.json")).document
    assert isinstance(document, dict)
    return document


async def test_the_document_is_valid_openapi(edge: EdgeStack) -> None:
    validate(await _document(edge))


@pytest.mark.timeout(7_200)
# The edge runs in a thread beside, and draws random numbers of its own meanwhile.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
async def test_no_request_meets_what_the_document_does_not_describe(edge: EdgeStack, record_property: Any) -> None:
    """No defect, no undocumented status or media type, no body that is not of its type."""
    accounts = edge.around.accounts
    _, spare = accounts.add_key(edge.org.org_id, name="spare")
    await edge.publisher.publish(spare)
    trial = Trial(
        await _document(edge),
        edge.url,
        {
            "inferenceKey": edge.key,
            "managementKey": edge.management_key,
            "session": edge.around.sessions.open(edge.org.org_id),
        },
        {
            "author": ["acme"],
            "slug": ["one", "one:free", "two"],
            "hash": [spare.digest],
            "id": ["default"],
            "interval": ["daily", "weekly", "monthly", "lifetime"],
        },
    )
    await asyncio.to_thread(trial.run, CASES)
    tally = trial.tally
    record_property("requests", sum(tally.statuses.values()))
    record_property("statuses", dict(tally.statuses))
    assert not tally.failures, "\n".join(list(tally.failures.values())[:40])
    assert tally.statuses["2xx"] > CASES // 10
    assert tally.statuses["4xx"] > CASES // 10
