"""Headers that let a request in at Amazon Bedrock: a signature (version 4), or a Bedrock API key as it is.

botocore computes the signature. What it would write to its log on the way, the session token among it, is not let out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

_SERVICE = "bedrock"
_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{11,128}", re.ASCII)
_REGION = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.(?P<region>[a-z]{2,}(?:-[a-z0-9]+)+)\.", re.ASCII)


@dataclass(frozen=True, slots=True)
class AwsKey:
    """A key of an AWS account. `session_token` is empty for a long-lived one."""

    access_key_id: str = field(repr=False)
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def read_aws_key(credential: str) -> AwsKey | None:
    """Read `ACCESS_KEY_ID:SECRET` or `ACCESS_KEY_ID:SECRET:SESSION_TOKEN`; None when it is a Bedrock API key.

    Raises:
        ValueError: it is neither. The message quotes nothing of it.
    """
    parts = credential.split(":")
    if len(parts) == 1 and credential:
        return None
    if len(parts) not in (2, 3) or not all(parts) or not _ACCESS_KEY_ID.fullmatch(parts[0]):
        raise ValueError("not ACCESS_KEY_ID:SECRET[:SESSION_TOKEN] and no Bedrock API key")
    return AwsKey(*parts)


def region_of(url: str) -> str:
    """Read the region out of an address such as `https://bedrock-runtime.eu-central-1.amazonaws.com`.

    Raises:
        ValueError: there is none in it.
    """
    match = _REGION.search((urlsplit(url).hostname or "") + ".")
    if match is None:
        raise ValueError("the address names no region of Bedrock")
    return match["region"]


def bedrock_headers(credential: str, url: str, body: bytes, now: datetime) -> Mapping[str, str]:
    """Return the headers of one POST.

    Args:
        credential: as the operator stores it.
        url: the address exactly as it goes over the wire: an escape in the path that is written another way, or not at all, makes
            another signature.
        body: what is sent.
        now: the time, with a zone. AWS allows five minutes of difference.

    Raises:
        ValueError: the credential is malformed, or the address names no region.
    """
    key = read_aws_key(credential)
    if key is None:
        return {"Authorization": f"Bearer {credential}"}
    return sign_post(key, url, body, now, region=region_of(url), service=_SERVICE)


def sign_post(key: AwsKey, url: str, body: bytes, now: datetime, *, region: str, service: str) -> Mapping[str, str]:
    """Sign a POST to any AWS service; host, time and session token are in the signature. For the arguments see `bedrock_headers`."""
    # Imported here, so that only who speaks to Bedrock pays for it.
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    timestamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"X-Amz-Date": timestamp}
    if key.session_token:
        headers["X-Amz-Security-Token"] = key.session_token
    signer = SigV4Auth(Credentials(key.access_key_id, key.secret, key.session_token or None), service, region)
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    request.context["timestamp"] = timestamp
    # `add_auth` would ask the system for the time, and log all of this.
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    signed = signer.signed_headers(signer.headers_to_sign(request))
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={signed}, Signature={signature}"
    )
    return headers
