"""What reaches Bedrock is signed: the signature is computed anew from what came over the socket, as AWS documents it."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote, unquote

import pytest

from router.testing.catalogs import Offer
from router.testing.faults import answering
from router.testing.scripted_provider import Received, ScriptedProvider
from router.testing.wires import WIRES
from router.testing.workbench import OpenWorkbench

ACCESS_KEY, SECRET, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "session/token+1=="
REGION = "eu-central-1"
WIRE = WIRES["bedrock"]


def signature_of(received: Received, signed_headers: list[str], date: str) -> str:
    """AWS Signature Version 4 of a POST, by its documented steps.

    The path is encoded once more than it was sent; the headers are those that came.
    """
    path, _, query = received.path.partition("?")
    assert not query
    canonical = "\n".join(
        [
            "POST",
            quote(path, safe="/-_.~"),
            "",
            *(f"{name}:{' '.join(received.headers[name].split())}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            hashlib.sha256(received.raw).hexdigest(),
        ]
    )
    scope = f"{date[:8]}/{REGION}/bedrock/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in (date[:8], REGION, "bedrock", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("token", ["", TOKEN], ids=["long-lived", "session"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "model",
    ["anthropic.claude-sonnet-4-5-20250929-v1:0", "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.a.b-v1:0"],
)  # fmt: skip
async def test_a_call_is_signed_as_it_goes_over_the_wire(
    workbench: OpenWorkbench, model: str, stream: bool, token: str
) -> None:
    async with ScriptedProvider(answering(WIRE)) as provider:
        address = f"http://bedrock-runtime.{REGION}.amazonaws.test:{provider.port}"
        async with workbench(Offer("a", url=address, dialect="bedrock", upstream_model=model)) as router:
            router.use_credentials({"a": ":".join(filter(None, (ACCESS_KEY, SECRET, token)))})
            outcome = await router.complete(stream=stream, messages=[{"role": "user", "content": "Grüße, schön?"}])
    assert outcome.text == "Good day"
    (received,) = provider.received
    assert received.path == WIRE.path(model, stream=stream)
    assert unquote(received.path).startswith(f"/model/{model}/")
    assert received.headers["host"] == f"bedrock-runtime.{REGION}.amazonaws.test:{provider.port}"
    date = received.headers["x-amz-date"]
    scheme, _, rest = received.headers["authorization"].partition(" ")
    said = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert scheme == "AWS4-HMAC-SHA256"
    assert said["Credential"] == f"{ACCESS_KEY}/{date[:8]}/{REGION}/bedrock/aws4_request"
    signed = said["SignedHeaders"].split(";")
    assert {"host", "x-amz-date"} <= set(signed)
    assert ("x-amz-security-token" in signed) is bool(token)
    assert received.headers.get("x-amz-security-token", "") == token
    assert said["Signature"] == signature_of(received, signed, date)
    # The secret is in no part of what was sent.
    assert SECRET not in f"{received.path} {received.headers} {received.raw.decode()}"


async def test_an_address_without_a_region_is_never_called(workbench: OpenWorkbench) -> None:
    bedrock, openai = WIRES["bedrock"], WIRES["openai-compatible"]
    async with ScriptedProvider(answering(bedrock)) as nowhere, ScriptedProvider(answering(openai)) as other:
        offers = [
            Offer("a", url=nowhere.origin, dialect="bedrock"),
            Offer("b", url=other.url, prompt="0.000002"),
        ]
        async with workbench(*offers) as router:
            router.use_credentials({"a": f"{ACCESS_KEY}:{SECRET}", "b": "key-of-b"})
            assert (await router.complete()).provider == "b"
    assert not nowhere.received
