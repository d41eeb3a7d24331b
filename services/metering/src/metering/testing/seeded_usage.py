"""Usage events of many kinds from a seed, for recounts: what a query says must be what Python counts over the same events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Final

from contracts.ids import new_generation_id, usage_event_id
from contracts.money import cost, price_from_proto, tokens_from_proto
from turnpike.usage.v1 import token_usage_pb2
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

MODELS: Final = ("acme/large", "acme/small", "borealis/one", "cirrus/mini", "cirrus/maxi")
PROVIDERS: Final = ("north", "south", "west")
ORGS: Final = ("org-a", "org-b", "org-c")
APPS: Final = (
    ("https://code.example/start", "Code Example", ("cli-agent",)),
    ("https://chat.example", "Chat", ("general-chat", "roleplay")),
    ("", "Untitled", ()),
    ("", "", ()),
)
# Outcome and status of a call that did not answer.
_FAILURES: Final = (
    (usage_pb.ATTEMPT_OUTCOME_FAILURE, 500),
    (usage_pb.ATTEMPT_OUTCOME_FAILURE, 401),
    (usage_pb.ATTEMPT_OUTCOME_FAILURE, 403),
    (usage_pb.ATTEMPT_OUTCOME_FAILURE, 200),
    (usage_pb.ATTEMPT_OUTCOME_FAILURE, 0),
    (usage_pb.ATTEMPT_OUTCOME_TIMEOUT, 0),
    (usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED, 429),
    (usage_pb.ATTEMPT_OUTCOME_REJECTED, 400),
    (usage_pb.ATTEMPT_OUTCOME_REJECTED, 404),
    (usage_pb.ATTEMPT_OUTCOME_CANCELLED, 0),
)
_FINISH: Final = ("stop", "stop", "stop", "length", "tool_calls", "tool_calls", "content_filter")


@dataclass(frozen=True)
class SeededUsage:
    """Makes events; the same ones for the same seed.

    Attributes:
        random: seeded.
        start, end: generations start between these.
    """

    random: Random
    start: datetime
    end: datetime

    def events(self, count: int) -> list[usage_pb.UsageEvent]:
        """Make so many events."""
        return [self._event() for _ in range(count)]

    def _event(self) -> usage_pb.UsageEvent:
        random = self.random
        first, last = (int(moment.timestamp() * 1_000) for moment in (self.start, self.end))
        started_ms = random.randrange(first, last)
        referer, title, categories = random.choice(APPS)
        org = random.choice(ORGS)
        model = random.choice(MODELS)
        event = usage_pb.UsageEvent(
            rank=usage_pb.USAGE_RANK_ROUTER_FINAL,
            generation_id=new_generation_id(started_ms // 1_000, random),
            org_id=org,
            key_id=f"{org}-key-{random.randrange(3)}",
            workspace_id=random.choice(["", f"{org}-space-{random.randrange(2)}"]),
            member_id=random.choice(["", f"{org}-member-{random.randrange(2)}"]),
            external_user=random.choice(["", "", f"user-{random.randrange(4)}"]),
            requested_model=model + random.choice(["", "", ":nitro", ":free"]),
            streamed=random.random() < 0.7,
            http_referer=referer,
            app_title=title,
            app_categories=categories,
            session_id=random.choice(["", f"session-{org}-{random.randrange(40)}"]),
            private=random.random() < 0.15,
            is_byok=random.random() < 0.1,
            country=random.choice(["", "CH", "DE"]),
            service_tier=random.choice(["", "", "flex"]),
            router_instance="router-0",
            region="local",
            user_agent="seeded/1",
        )
        event.event_id = usage_event_id(event.generation_id)
        event.started_at.FromMilliseconds(started_ms)
        for _ in range(random.choice([0, 0, 0, 1, 2])):
            outcome, status = random.choice(_FAILURES)
            event.attempts.add(
                endpoint_id=f"{model}@{random.choice(PROVIDERS)}",
                provider=random.choice(PROVIDERS),
                outcome=outcome,
                status_code=status,
                latency_ms=random.randrange(1, 5_000),
            )
            event.attempts[-1].provider = event.attempts[-1].endpoint_id.rpartition("@")[2]
        if random.random() < 0.93:
            self._answer(event, model)
        else:
            event.status = usage_pb.GENERATION_STATUS_FAILED
            event.finish_reason = "error"
            event.error_type = "provider_unavailable"
        event.ended_at.FromMilliseconds(started_ms + event.generation_ms + random.randrange(50))
        return event

    def _answer(self, event: usage_pb.UsageEvent, model: str) -> None:
        random = self.random
        provider = random.choice(PROVIDERS)
        event.model, event.provider, event.endpoint_id = model, provider, f"{model}@{provider}"
        event.status = random.choice(
            [usage_pb.GENERATION_STATUS_COMPLETED] * 9 + [usage_pb.GENERATION_STATUS_CANCELLED]
        )
        cancelled = event.status == usage_pb.GENERATION_STATUS_CANCELLED
        event.first_token_ms = random.randrange(5, 900)
        event.generation_ms = event.first_token_ms + random.randrange(0, 20_000)
        event.attempts.add(
            endpoint_id=event.endpoint_id,
            provider=provider,
            outcome=usage_pb.ATTEMPT_OUTCOME_CANCELLED if cancelled else usage_pb.ATTEMPT_OUTCOME_SUCCESS,
            status_code=0 if cancelled else 200,
            latency_ms=event.first_token_ms,
        )
        event.finish_reason = "" if cancelled else random.choice(_FINISH)
        event.native_finish_reason = event.finish_reason
        if event.finish_reason == "tool_calls":
            event.tool_calls = random.randrange(1, 4)
            event.bad_tool_calls = random.choice([0, 0, 0, 1])
        prompt, completion = int(10 ** random.uniform(0, 5.5)), random.randrange(0, 3_000)
        cached = random.choice([0, random.randrange(prompt + 1)])
        event.usage.CopyFrom(
            token_usage_pb2.TokenUsage(
                prompt_tokens=prompt,
                completion_tokens=completion,
                reasoning_tokens=random.choice([0, random.randrange(completion + 1)]),
                cached_tokens=cached,
                cache_write_tokens=random.choice([0, random.randrange(prompt - cached + 1)]),
                source=random.choice(
                    [token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER] * 4 + [token_usage_pb2.TOKEN_COUNT_SOURCE_ESTIMATE]
                ),
            )
        )
        scale = 1 + MODELS.index(model)
        event.price.CopyFrom(
            token_usage_pb2.Price(
                version=f"pv-{model}",
                prompt_pico_usd=100_001 * scale,
                completion_pico_usd=300_007 * scale,
                reasoning_pico_usd=300_007 * scale,
                cached_pico_usd=25_003 * scale,
                cache_write_pico_usd=125_009 * scale,
            )
        )
        total = cost(price_from_proto(event.price), tokens_from_proto(event.usage)).total
        event.provider_cost_nano_usd = total
        # A customer's own key pays the provider, and we take a fee.
        event.cost_nano_usd = total // 20 if event.is_byok else total
