"""S11: nothing that a caller adds to a request chooses whose key is used, where it goes, what it costs or who pays."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.testing.stack import EdgeStack
from gateway_support.stack import gateway
from router.testing import scripts
from router.testing.catalogs import Offer
from router.testing.scripted_provider import ScriptedProvider
from servicekit.testing import BrokerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What gateways have taken such things from, theirs and ours.
NAMES = (
    "api_base", "api_key", "api_version", "aws_access_key_id", "base_url", "byok", "channel", "channel_id", "cost", "credentials", "custom_llm_provider",
    "deployment_id", "endpoint", "endpoint_id", "extra_headers", "headers", "host", "input_cost_per_token", "key", "key_id", "litellm_params", "org",
    "org_id", "organization", "organization_id", "price", "pricing", "provider_key", "proxy", "region_name", "secret", "upstream_model", "upstream_url",
    "url", "user_api_key", "vertex_credentials", "workspace_id", "model_info", "mock_response", "azure_endpoint", "project",
)  # fmt: skip
HEADERS = (
    "X-Api-Base", "X-Base-Url", "X-Channel-Id", "X-Endpoint-Id", "X-Forwarded-Host", "X-Forwarded-For", "X-Host", "X-Internal-Org", "X-Org-Id",
    "X-Organization-Id", "X-Provider-Api-Key", "X-Provider-Key", "X-Price", "X-Turnpike-Org", "X-Turnpike-Actor", "OpenAI-Organization", "OpenAI-Project",
    "X-Upstream-Url", "Forwarded", "Grpc-Metadata-Org", "X-Workspace-Id", "Anthropic-Base-Url", "X-OpenRouter-Key",
)  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "/chat/completions": {"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}]},
    "/messages": {"model": "acme/one", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]},
    "/responses": {"model": "acme/one", "input": "Hello"},
    "/completions": {"model": "acme/one", "prompt": "Hello"},
}


@dataclass(frozen=True)
class Around:
    """A gateway with its one provider, and a server that nobody may call."""

    edge: EdgeStack
    provider: ScriptedProvider
    trap: ScriptedProvider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def around(tmp_path_factory: pytest.TempPathFactory, broker: BrokerProcess) -> AsyncIterator[Around]:
    folder: Path = tmp_path_factory.mktemp("choices")
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(ScriptedProvider(scripts.speak(["Hello"])))
        trap = await stack.enter_async_context(ScriptedProvider(scripts.speak(["Caught"])))
        offers = [Offer("acme", url=provider.url, model="acme/one")]
        edge = await stack.enter_async_context(gateway(folder, broker.bootstrap, offers))
        yield Around(edge, provider, trap)


# A value becomes what the trap could be called by where the drawn text says TRAP.
TRAP = "TRAP"
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.sampled_from([TRAP, "sk-of-a-stranger", "another", "0", "*"])
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.sampled_from(NAMES) | st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=20
)
tokens = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), max_size=30) | st.just(TRAP)


def trapped(value: Any, url: str) -> Any:
    """The value with the address of the trap in it."""
    return json.loads(json.dumps(value).replace(f'"{TRAP}"', json.dumps(url)))


@settings(max_examples=150)
@given(
    path=st.sampled_from(sorted(BODIES)),
    members=st.dictionaries(names, values, max_size=4),
    into_provider=st.dictionaries(names, values, max_size=2),
    headers=st.dictionaries(st.sampled_from(HEADERS), tokens, max_size=3),
    query=st.dictionaries(st.sampled_from(NAMES), tokens, max_size=2),
)
async def test_s11_nothing_that_is_added_changes_whose_key_is_used_where_or_at_what_price(
    around: Around,
    path: str,
    members: dict[str, Any],
    into_provider: dict[str, Any],
    headers: dict[str, str],
    query: dict[str, str],
) -> None:
    edge, provider = around.edge, around.provider
    plain = await edge.call("POST", path, BODIES[path])
    assert plain.status == 200, plain.body
    expected = provider.received[-1]
    # What the request itself is made of is no addition.
    added = {name: value for name, value in members.items() if name not in BODIES[path]}
    body = trapped(added | ({"provider": into_provider} if into_provider else {}), around.trap.url) | BODIES[path]
    sent = {name: value.replace(TRAP, around.trap.url) for name, value in headers.items()}
    before = len(provider.received)
    address = "&".join(f"{name}={value.replace(TRAP, around.trap.url).encode().hex()}" for name, value in query.items())
    answer = await edge.call("POST", f"{path}?{address}" if address else path, body, headers=sent)
    assert answer.status < 500, (body, answer)
    assert around.trap.received == []
    for received in provider.received[before:]:
        assert received.path == expected.path
        assert received.headers["authorization"] == expected.headers["authorization"]
        assert received.headers["host"] == expected.headers["host"]
        assert received.body["model"] == expected.body["model"]
    if answer.status == 200 and "usage" in answer.document:
        assert rate(answer.document["usage"]) == rate(plain.document["usage"])


async def test_s11_every_name_that_gateways_have_taken_such_things_from_is_ignored_or_refused(around: Around) -> None:
    edge, served = around.edge, 0
    for name in NAMES:
        for body in (
            {name: around.trap.url},
            {"provider": {name: around.trap.url}},
            {"provider": {"options": {name: around.trap.url}}},
        ):
            answer = await edge.call("POST", "/chat/completions", body | BODIES["/chat/completions"])
            assert answer.status in (200, 400), (body, answer)
            served += answer.status == 200
    for name in HEADERS:
        answer = await edge.call(
            "POST", "/chat/completions", BODIES["/chat/completions"], headers={name: around.trap.url}
        )
        assert answer.status == 200, (name, answer)
    assert around.trap.received == []
    assert served >= len(NAMES), "most of it was refused, so that little was tried"


def rate(usage: dict[str, Any]) -> object:
    """What a token cost."""
    names = ("cost", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
    return {name: usage[name] for name in names if name in usage}
