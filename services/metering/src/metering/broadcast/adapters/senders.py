"""How each type of destination is sent to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from standardwebhooks import Webhook

from metering.broadcast.adapters.exchanges import Exchanges
from metering.broadcast.adapters.otlp import otlp_json, otlp_of
from metering.broadcast.domain.deliveries import Batch, Outcome
from metering.broadcast.domain.spans import GenerationSpan
from metering.broadcast.domain.targets import Target, TargetConfig
from servicekit.clock import Clock

_TRACES: Final = "/v1/traces"


class OtlpSender:
    """Exports to a collector by OTLP over HTTP, in protobuf."""

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges

    async def send(
        self, target: Target, config: TargetConfig, batch: Batch, spans: Sequence[GenerationSpan]
    ) -> Outcome:
        """Export a batch once."""
        headers = {**config.headers, "Content-Type": "application/x-protobuf"}
        body = otlp_of(spans).SerializeToString()
        return await self._exchanges.send("POST", traces_url(config.members["endpoint"]), body, headers)


class WebhookSender:
    """Sends OTLP's JSON, signed by Standard Webhooks: a receiver can check who sent it, when, and whether it had it before."""

    def __init__(self, exchanges: Exchanges, clock: Clock) -> None:
        self._exchanges = exchanges
        self._clock = clock

    async def send(
        self, target: Target, config: TargetConfig, batch: Batch, spans: Sequence[GenerationSpan]
    ) -> Outcome:
        """Send a batch once. Every attempt has the same id, and a time and a signature of its own."""
        body, message_id, now = otlp_json(spans), f"msg_{batch.batch_id}", self._clock.now()
        signature = Webhook(config.members["signingSecret"]).sign(message_id, now, body.decode())
        headers = {
            **config.headers,
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        return await self._exchanges.send(config.members.get("method", "POST"), config.members["url"], body, headers)


def traces_url(endpoint: str) -> str:
    """Return where a collector takes traces: the address itself where it says so, else the standard path below it."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_TRACES) else path + _TRACES))
