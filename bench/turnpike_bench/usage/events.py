"""A hundred million usage events out of a seed, made by the engine itself: the same rows for the same seed, in any chunks.

Every value is a function of the row's number, so that nothing is random and nothing is sent to the engine. What is skewed
in life is skewed here: an organisation's part of the traffic goes with one over its rank, the first of 20,000 has 7 %; keys
of an organisation, models and applications likewise. A key belongs to one member and one workspace, has four favourite
models and mostly one application. Traffic grows from nothing to its height over the whole time, and nights are quieter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from clickhouse_connect.driver.client import Client

ORGS: Final = 20_000
MODELS: Final = 400
APPS: Final = 2_000
# Rows of one statement: sorted in memory as a whole, some 700 bytes each.
CHUNK: Final = 2_000_000

# Names of the namespace and of the steps of a UUID of version 5, as `contracts.ids.usage_event_id` makes it.
_NAMESPACE: Final = "6f0d1f525b0e5f0c9a517c1d6f0b8f21"

_EVENTS: Final = """
INSERT INTO usage_events
    (event_id, rank, generation_id, org_id, key_id, model, requested_model, provider, endpoint_id, price_version,
    prompt_pico_usd, completion_pico_usd, reasoning_pico_usd, cached_pico_usd, cache_write_pico_usd, request_pico_usd,
    prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, cache_write_tokens, token_source, cost_nano_usd,
    provider_cost_nano_usd, status, finish_reason, native_finish_reason, streamed, started_at, ended_at, first_token_ms,
    generation_ms, attempts, upstream_id, router_instance, region, http_referer, app_title, session_id, error_type,
    workspace_id, member_id, external_user, tool_calls, bad_tool_calls, is_byok, service_tier, private, user_agent,
    request_id, app_categories, app_id, app, operation, ingested_at)
WITH
    -- A number from 0 to 1 for each purpose.
    (purpose -> bitShiftRight(cityHash64({seed:UInt64}, number, purpose), 11) / 9007199254740992) AS dice,
    {start:Float64} + {seconds:Float64} * sqrt((number + dice(1)) / {events:UInt64}) AS even_s,
    -- Nights have a third of the traffic of days; the day itself stays the same.
    modulo(even_s, 86400) AS even_in_day,
    even_s - even_in_day + least(greatest(even_in_day + 9000 * sin(even_in_day * 2 * pi() / 86400), 0), 86399.999) AS moment_s,
    toUInt32(floor(pow({orgs:UInt32}, dice(2)))) AS org,
    toUInt32(2 + 600 / pow(org, 0.7)) AS keys_of_org,
    toUInt32(floor(pow(keys_of_org, dice(3)))) AS key,
    cityHash64({seed:UInt64}, org, key) AS of_key,
    toUInt32(floor(pow({models:UInt32}, bitShiftRight(cityHash64(of_key, toUInt8(4 * dice(4) * dice(5))), 11) / 9007199254740992)))
        AS favourite,
    if(dice(6) < 0.85, favourite, toUInt32(floor(pow({models:UInt32}, dice(7))))) AS model_number,
    concat('author-', toString(model_number % 50), '/model-', toString(model_number)) AS model_name,
    (model_number * 7 + toUInt32(floor((1 + model_number % 4) * dice(8) * dice(9)))) % 40 AS provider_number,
    concat('provider-', toString(provider_number)) AS provider_name,
    dice(10) < 0.97 AS answered,
    answered AND dice(11) < 0.02 AS is_cancelled,
    dice(12) < 0.75 AS is_streamed,
    toUInt32(pow(10, 1.5 + 1.1 * (dice(13) + dice(14) + dice(15)))) AS prompt,
    if(is_cancelled, 3, 1) AS shortened,
    intDiv(toUInt32(pow(10, 0.8 + 2.7 * dice(16))), shortened) AS completion,
    if(dice(17) < 0.3, toUInt32(prompt * dice(18)), 0) AS cached,
    if(model_number % 3 = 0, toUInt32(completion * dice(19)), 0) AS reasoning,
    toInt64(50000 + cityHash64('price', model_number) % 3000000) AS pico,
    toInt64(80 + 4000 * pow(dice(20), 4)) AS first_ms,
    first_ms + toInt64(completion * (5 + provider_number) * (0.5 + dice(21))) AS whole_ms,
    multiIf(is_cancelled, '', dice(22) < 0.7, 'stop', dice(22) < 0.9, 'tool_calls', dice(22) < 0.98, 'length', 'content_filter')
        AS finish,
    multiIf(of_key % 10 < 3, 0, dice(23) < 0.9, toUInt32(floor(pow({apps:UInt32}, bitShiftRight(cityHash64(of_key, 'app'), 11)
        / 9007199254740992))), toUInt32(floor(pow({apps:UInt32}, dice(23))))) AS app_number,
    dice(24) < 0.05 AS own_key,
    intDiv((prompt - cached) * pico + cached * intDiv(pico, 4) + completion * 4 * pico, 1000) AS charge,
    fromUnixTimestamp64Milli(toInt64(moment_s * 1000), 'UTC') AS started,
    if(answered, whole_ms, toInt64(2000 * dice(25))) AS took_ms,
    concat(model_name, '@', provider_name) AS endpoint,
    concat('gen-', toString(toUInt64(moment_s)), '-', substring(hex(sipHash128({seed:UInt64}, number)), 1, 20)) AS generation,
    lower(hex(SHA1(concat(unhex({namespace:String}), generation)))) AS digest
SELECT
    toUUID(concat(substring(digest, 1, 8), '-', substring(digest, 9, 4), '-5', substring(digest, 14, 3), '-',
        substring('89ab89ab89ab89ab', reinterpretAsUInt8(unhex(concat('0', substring(digest, 17, 1)))) + 1, 1),
        substring(digest, 18, 3), '-', substring(digest, 21, 12))),
    3, generation, concat('org-', leftPad(toString(cityHash64(org) % 1000000), 6, '0'), '-', toString(org)),
    concat('key-', toString(org), '-', toString(key)), if(answered, model_name, ''),
    concat(model_name, multiIf(dice(26) < 0.9, '', dice(26) < 0.95, ':nitro', ':floor')), if(answered, provider_name, ''),
    if(answered, endpoint, ''), if(answered, concat('pv-', toString(model_number)), ''),
    if(answered, pico, 0), if(answered, 4 * pico, 0), if(answered, 4 * pico, 0), if(answered, intDiv(pico, 4), 0),
    if(answered, pico, 0), 0,
    if(answered, prompt, 0), if(answered, completion, 0), if(answered, reasoning, 0), if(answered, cached, 0), 0,
    multiIf(NOT answered, 'unspecified', dice(27) < 0.9, 'provider', 'estimate'),
    multiIf(NOT answered, 0, own_key, intDiv(charge, 20), charge), if(answered, charge, 0),
    multiIf(NOT answered, 'failed', is_cancelled, 'cancelled', 'completed'), if(answered, finish, 'error'),
    if(answered, finish, ''), is_streamed, started, started + toIntervalMillisecond(took_ms), if(answered, first_ms, 0),
    if(answered, whole_ms, 0),
    arrayConcat(
        if(NOT answered OR dice(28) < 0.04,
            [(concat(model_name, '@provider-', toString((model_number * 7 + 1) % 40)),
              concat('provider-', toString((model_number * 7 + 1) % 40)),
              multiIf(dice(29) < 0.4, 'rate_limited', dice(29) < 0.6, 'timeout', 'failure'),
              multiIf(dice(29) < 0.4, 429, dice(29) < 0.6, 0, 502), toInt64(1000 * dice(29)))], []),
        if(answered, [(endpoint, provider_name, if(is_cancelled, 'cancelled', 'success'), if(is_cancelled, 0, 200), first_ms)], [])
    )::Array(Tuple(endpoint_id LowCardinality(String), provider LowCardinality(String), outcome LowCardinality(String),
        status_code Int32, latency_ms Int64)),
    if(answered, concat('chatcmpl-', substring(digest, 1, 24)), ''), concat('router-', toString(number % 4)),
    if(of_key % 3 = 0, 'eu', 'us'), if(app_number = 0, '', concat('https://app-', toString(app_number), '.example')),
    if(app_number = 0, '', concat('Application ', toString(app_number))),
    if(dice(30) < 0.5, concat('session-', toString(of_key % 100000), '-', toString(intDiv(toUInt64(moment_s), 1200))), ''),
    if(answered, '', 'provider_unavailable'),
    if(key % 4 = 0, '', concat('workspace-', toString(org), '-', toString(key % 12))),
    concat('member-', toString(org), '-', toString(intDiv(key, 3))),
    if(of_key % 5 = 0, concat('user-', toString(toUInt32(floor(pow(5000, dice(31)))))), ''),
    if(finish = 'tool_calls' AND answered, 1 + toUInt32(2 * dice(32)), 0),
    if(finish = 'tool_calls' AND answered AND dice(33) < 0.02, 1, 0), own_key, if(dice(34) < 0.97, '', 'flex'),
    org % 9 = 0 OR dice(35) < 0.02, 'openai-python/2.0', '',
    if(app_number = 0, [], arrayDistinct([{categories:Array(String)}[1 + app_number % 15],
        {categories:Array(String)}[1 + intDiv(app_number, 15) % 15]])),
    if(app_number = 0, 0, toUInt32(100000 + app_number)),
    if(app_number = 0, '', concat('https://app-', toString(app_number), '.example')),
    'completion', started + toIntervalMillisecond(took_ms + 700)
FROM numbers({first:UInt64}, {count:UInt64})
"""
_CATEGORIES: Final = (
    "cli-agent", "ide-extension", "cloud-agent", "programming-app", "native-app-builder", "general-chat", "roleplay", "writing",
    "research", "translation", "education", "marketing", "data", "automation", "support",
)  # fmt: skip
# Few large blocks, so that a day gets few parts. No event is there twice, and looking for that costs as much as everything else.
_SETTINGS: Final = {
    "max_insert_threads": 1,
    "max_threads": 2,
    "optimize_on_insert": 0,
    "max_block_size": 65_536,
    "min_insert_block_size_rows": CHUNK,
    "min_insert_block_size_bytes": 0,
    "max_memory_usage": 8_000_000_000,
    "insert_deduplicate": 0,
    "max_partitions_per_insert_block": 0,
    "max_execution_time": 0,
}


@dataclass(frozen=True, slots=True)
class SyntheticUsage:
    """What is made.

    Attributes:
        events: how many.
        end: just after the last one.
        days: from the first one to `end`.
        seed: another one, other events.
        chunk: events of one statement.
    """

    events: int
    end: datetime
    days: int = 396
    seed: int = 1
    chunk: int = CHUNK

    @property
    def start_s(self) -> float:
        """When the first one starts, in Unix seconds."""
        return self.end.timestamp() - self.days * 86_400

    def insert(self, client: Client) -> Iterator[int]:
        """Insert them, and yield how many are in after each statement: the latest first, which most pages are about."""
        done = 0
        while done < self.events:
            count = min(self.chunk, self.events - done)
            client.command(_EVENTS, self._parameters(self.events - done - count, count), settings=_SETTINGS)
            done += count
            yield done

    def _parameters(self, first: int, count: int) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "start": self.start_s,
            "seconds": float(self.days * 86_400),
            "events": self.events,
            "orgs": ORGS,
            "models": MODELS,
            "apps": APPS,
            "namespace": _NAMESPACE,
            "categories": list(_CATEGORIES),
            "first": first,
            "count": count,
        }


def midnight(moment: datetime) -> datetime:
    """The beginning of the UTC day."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
