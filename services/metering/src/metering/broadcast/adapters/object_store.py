"""Batches as objects in a bucket that speaks S3's API: lines of JSON, compressed.

The name of an object follows from what is in it, so a repeat overwrites it. botocore signs the request; it is sent by the
client that looks at addresses.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from metering.broadcast.adapters.exchanges import Exchanges
from metering.broadcast.domain.deliveries import Batch, Outcome
from metering.broadcast.domain.spans import GenerationSpan
from metering.broadcast.domain.targets import Target, TargetConfig
from servicekit.clock import Clock

DEFAULT_PREFIX: Final = "openrouter-traces"
DEFAULT_TEMPLATE: Final = "{prefix}/{date}"
DEFAULT_REGION: Final = "us-east-1"
_encode = msgspec.json.Encoder().encode


class ObjectStoreSender:
    """Puts a batch into a bucket."""

    def __init__(self, exchanges: Exchanges, clock: Clock) -> None:
        self._exchanges = exchanges
        self._clock = clock

    async def send(
        self, target: Target, config: TargetConfig, batch: Batch, spans: Sequence[GenerationSpan]
    ) -> Outcome:
        """Put a batch once."""
        members = config.members
        region = members.get("region", DEFAULT_REGION)
        url = object_url(members.get("endpoint", ""), members["bucketName"], region, object_name(target, config, batch))
        body = lines_of(spans)
        headers = {**config.headers, "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        credentials = Credentials(members["accessKeyId"], members["secretAccessKey"], members.get("sessionToken"))
        signed = signed_headers(credentials, region, url, body, headers, self._clock.now())
        return await self._exchanges.send("PUT", url, body, signed)


def signed_headers(
    credentials: Credentials, region: str, url: str, body: bytes, headers: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Return headers of a PUT with the signature that lets it in (version 4)."""
    timestamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    named = {**headers, "X-Amz-Date": timestamp, "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
    if credentials.token:
        named["X-Amz-Security-Token"] = credentials.token
    signer = S3SigV4Auth(credentials, "s3", region)
    request = AWSRequest("PUT", url, data=body, headers=named)
    request.context["timestamp"] = timestamp
    # `add_auth` would ask the system for the time, and write the headers to its log, the session token among them.
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = signer.scope(request)
    named["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    return named


def object_name(target: Target, config: TargetConfig, batch: Batch) -> str:
    """Return the name of the object for a batch: the folder that its owner chose, the hour, and the id of the batch."""
    hour = datetime.fromtimestamp(batch.events[0].ended_ms / 1000, UTC)
    folder = config.members.get("pathTemplate", DEFAULT_TEMPLATE)
    values = {
        "prefix": config.members.get("prefix", DEFAULT_PREFIX),
        "date": hour.strftime("%Y-%m-%d"),
        "year": hour.strftime("%Y"),
        "month": hour.strftime("%m"),
        "day": hour.strftime("%d"),
        "hour": hour.strftime("%H"),
        "workspace_id": target.workspace_id,
        "destination_id": target.destination_id,
    }
    for name, value in values.items():
        folder = folder.replace(f"{{{name}}}", value)
    return f"{folder.strip('/')}/{hour:%H}-{batch.batch_id}.jsonl.gz".lstrip("/")


def object_url(endpoint: str, bucket: str, region: str, name: str) -> str:
    """Return the address of an object. A bucket at Amazon is part of the host, elsewhere of the path.

    A bucket with a dot in its name is part of the path everywhere: no certificate is for its host.
    """
    path = quote(name, safe="/-_.~")
    if endpoint:
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/{bucket}/{path}"
    if "." in bucket:
        return f"https://s3.{region}.amazonaws.com/{bucket}/{path}"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{path}"


def lines_of(spans: Sequence[GenerationSpan]) -> bytes:
    """Write spans as lines of JSON, compressed; the same spans are the same bytes."""
    lines = b"".join(
        _encode(
            {
                "trace_id": span.trace_id,
                "span_id": span.span_id,
                "name": span.name,
                "start_time_unix_nano": span.start_ns,
                "end_time_unix_nano": span.end_ns,
                "error": span.error or None,
                "attributes": dict(span.attributes),
            }
        )
        + b"\n"
        for span in spans
    )
    return gzip.compress(lines, mtime=0)
