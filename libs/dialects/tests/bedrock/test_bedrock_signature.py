"""Signatures for Amazon Bedrock."""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dialects.bedrock.signature import AwsKey, bedrock_headers, read_aws_key, region_of, sign_post

# The key, the time and the place of AWS's published test suite for signature version 4.
KEY = AwsKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
URL = "https://bedrock-runtime.us-east-1.amazonaws.com/model/eu.anthropic.claude-v1%3A0/converse"


def test_the_published_vector_of_a_plain_post() -> None:
    headers = sign_post(KEY, "https://example.amazonaws.com/", b"", NOW, region="us-east-1", service="service")
    assert headers == {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        ),
    }


def reference_signature(canonical_path: str, body: bytes, token: str) -> str:
    """The signature by the steps of AWS's guide, for `URL` and `NOW`."""
    signed = [("host", "bedrock-runtime.us-east-1.amazonaws.com"), ("x-amz-date", "20150830T123600Z")]
    if token:
        signed.append(("x-amz-security-token", token))
    canonical = "\n".join(
        ["POST", canonical_path, "", *(f"{name}:{value}" for name, value in signed), "",
         ";".join(name for name, _ in signed), hashlib.sha256(body).hexdigest()]
    )  # fmt: skip
    scope = "20150830/us-east-1/bedrock/aws4_request"
    text = f"AWS4-HMAC-SHA256\n20150830T123600Z\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    secret = f"AWS4{KEY.secret}".encode()
    for step in ("20150830", "us-east-1", "bedrock", "aws4_request", text):
        secret = hmac.new(secret, step.encode(), hashlib.sha256).digest()
    return secret.hex()


@pytest.mark.parametrize("token", ["", "IQoJb3JpZ2luX2VjEXAMPLE=="])
def test_a_call_of_bedrock_is_signed_with_its_path_escaped_twice(token: str) -> None:
    credential = f"{KEY.access_key_id}:{KEY.secret}" + (f":{token}" if token else "")
    headers = bedrock_headers(credential, URL, b'{"messages":[]}', NOW)
    expected = reference_signature("/model/eu.anthropic.claude-v1%253A0/converse", b'{"messages":[]}', token)
    assert headers["Authorization"].endswith(f"Signature={expected}")
    assert headers.get("X-Amz-Security-Token", "") == token


def test_the_time_may_be_of_any_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    credential = f"{KEY.access_key_id}:{KEY.secret}"
    assert bedrock_headers(credential, URL, b"{}", elsewhere) == bedrock_headers(credential, URL, b"{}", NOW)


def test_a_bedrock_api_key_is_shown_as_it_is() -> None:
    assert bedrock_headers("ABSKQmVkcm9ja0FQSUtleQ==", URL, b"{}", NOW) == {
        "Authorization": "Bearer ABSKQmVkcm9ja0FQSUtleQ=="
    }


@pytest.mark.parametrize(
    "credential", ["", "AKIDEXAMPLE:", "lower:secret", "AKIDEXAMPLE:a:b:c", ":secret", "AKIDEXAMPLE:s:"]
)
def test_a_malformed_credential_is_refused_without_being_quoted(credential: str) -> None:
    with pytest.raises(ValueError, match="SESSION_TOKEN") as caught:
        read_aws_key(credential)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/x/converse", "us-gov-west-1"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://vpce-1-2.bedrock-runtime.us-east-1.vpce.amazonaws.com", "us-east-1"),
    ],
)
def test_the_region_is_in_the_address(url: str, region: str) -> None:
    assert region_of(url) == region


@pytest.mark.parametrize(
    "url", ["https://example.com", "https://evil.com/bedrock-runtime.us-east-1.amazonaws.com", "x"]
)
def test_an_address_without_a_region_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="region"):
        region_of(url)


def test_no_secret_is_shown_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        bedrock_headers(f"{KEY.access_key_id}:{KEY.secret}:TOKEN-OF-A-SESSION", URL, b"{}", NOW)
    assert "TOKEN-OF-A-SESSION" not in caplog.text
    assert KEY.secret not in repr(KEY)
