"""S25: after a run in which every secret and everything that is said is a canary, no canary is anywhere but where it must be."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import yaml

from e2e_support import surfaces
from e2e_support.books import Books
from e2e_support.canaries import Canaries, Find
from e2e_support.canary_run import CanaryRun, oidc_provider
from e2e_support.collector import Collector
from e2e_support.stack import Stack, running_stack
from e2e_support.surfaces import Surfaces

pytestmark = pytest.mark.timeout(300)

# What must be kept in the clear by its nature: where, and why. docs/security.md has the same list.
_TABLES = r"table \w+|file postgres/.*"
_KEYS_NEWS = r"topic turnpike\.keys\.v1|file edge/.*"
# What waits there to be broadcast is usage, and where it goes is sealed.
_BROADCAST = r"file broadcast/.*"
IN_THE_CLEAR = {
    # People read them in lists, and edges name keys in answers of their owners.
    "name: of a key": f"{_TABLES}|{_KEYS_NEWS}|{_BROADCAST}",
    "name: of a person": _TABLES,
    "name: of a provider key": _TABLES,
    "name: of a destination": rf"{_TABLES}|{_BROADCAST}",
    # An edge must have the expressions to look for them.
    "name: of a guardrail": rf"{_TABLES}|topic turnpike\.guardrails\.v1|file edge/.*",
    "name: a pattern of a guardrail": rf"{_TABLES}|topic turnpike\.guardrails\.v1|file edge/.*",
    # Its owner wrote it down to have it added to requests.
    "name: text of a preset": _TABLES,
    # Whoever writes it wants it to be read by the operator.
    "name: a comment": _TABLES,
    # Their purpose is that usage can be told apart by them; callers are asked to send nothing that says who it is.
    "name: a user of the caller": rf"topic turnpike\.usage\.v1|file spool/.*|ClickHouse .*|file clickhouse/.*|{_BROADCAST}",
    "name: a session of the caller": rf"topic turnpike\.usage\.v1|file spool/.*|ClickHouse .*|file clickhouse/.*|{_BROADCAST}",
}
CATALOG = {
    "canary/sees": ("sim-echo", ["text", "image", "file", "audio"], ["text"]),
    "canary/echo-400": ("sim-echo?fault=echo-400", ["text"], ["text"]),
    "canary/echo-401": ("sim-echo?fault=echo-401", ["text"], ["text"]),
    "canary/echo-500": ("sim-echo?fault=echo-500", ["text"], ["text"]),
    "canary/cut": ("sim-echo?fault=cut&after=2", ["text"], ["text"]),
    "canary/first-then-error": ("sim-echo?fault=first-then-error&after=2", ["text"], ["text"]),
    "canary/malformed": ("sim-echo?fault=malformed-event&after=2", ["text"], ["text"]),
    "canary/html": ("sim-echo?fault=html-200", ["text"], ["text"]),
    "canary/embeddings-400": ("sim-lorem?fault=echo-400", ["text"], ["embeddings"]),
    "canary/images-500": ("sim-lorem?fault=echo-500", ["text"], ["image"]),
}


@dataclass(frozen=True)
class Remains:
    """What the run left behind."""

    canaries: Canaries
    surfaces: Surfaces
    answers: list[tuple[str, bytes]]
    generations: list[str]

    @cached_property
    def finds(self) -> dict[str, list[Find]]:
        """By surface, the canaries there. To look through all of them takes seconds."""
        return {name: self.canaries.find(content) for name, content in self.surfaces.items()}

    def found(self, kind: str) -> dict[str, set[str]]:
        """By label of a canary, the surfaces of one kind that hold it though they must not."""
        found: dict[str, set[str]] = {}
        for name, finds in self.finds.items():
            if re.match(kind, name) is None:
                continue
            for each in finds:
                allowed = IN_THE_CLEAR.get(each.label)
                if allowed is None or re.fullmatch(allowed, name) is None:
                    found.setdefault(each.label, set()).add(f"{name}, {each.form}: {each.around!r}"[:300])
        return found


@pytest.fixture(scope="module")
def remains(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Remains:
    folder = tmp_path_factory.mktemp("canaries")
    state, canaries = folder / "state", Canaries()
    catalog = _write_catalog(folder)
    _write_provider_keys(state, canaries)
    client_secret = canaries.text("the secret of the OpenID client")
    with socket.socket() as probe, socket.socket() as public:
        probe.bind(("127.0.0.1", 0))
        public.bind(("127.0.0.1", 0))
        oidc, port = int(probe.getsockname()[1]), int(public.getsockname()[1])
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "ACCOUNTS_OIDC_ISSUER": f"http://127.0.0.1:{oidc}",
        "ACCOUNTS_OIDC_CLIENT_ID": "turnpike",
        "ACCOUNTS_OIDC_CLIENT_SECRET": client_secret,
        "ACCOUNTS_OIDC_REDIRECT_URL": f"http://127.0.0.1:{port}/api/v1/auth/oidc/callback",
        **{f"{name.upper().replace('-', '_')}_LOG_LEVEL": "debug" for name in surfaces.SERVICES},
    }
    arguments = ("--no-models", "--probe-interval", "1s", "--catalog", str(catalog), "--port", str(port))
    with running_stack(state, *arguments, environment=environment) as stack:
        run, shown = asyncio.run(_run(stack, canaries, oidc, client_secret))
    shown |= surfaces.logs(stack) | surfaces.files(stack) | surfaces.clickhouse(stack)
    shown["traces"] = collector.everything()
    return Remains(canaries, shown, run.seen, run.generations)


async def _run(stack: Stack, canaries: Canaries, oidc: int, client_secret: str) -> tuple[CanaryRun, Surfaces]:
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        oidc_provider(oidc, client_secret),
        aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http,
        asyncpg.create_pool(stack.run["postgres_dsn"], min_size=0, max_size=2) as database,
    ):
        run = CanaryRun(stack, canaries, http)
        await run.everything()
        await Books(stack, database, http).wait_settled(run.generations[-1:])
        shown = await surfaces.tables(stack)
        shown |= await asyncio.to_thread(surfaces.records, stack.run["kafka_bootstrap"])
        shown |= await asyncio.to_thread(surfaces.metrics, stack)
        shown |= await asyncio.to_thread(surfaces.command_lines, stack)
    return run, shown


def _write_catalog(folder: Path) -> Path:
    catalog = folder / "catalog"
    catalog.mkdir()
    price = {"prompt": "0.0000001", "completion": "0.0000002", "as_of": date(2026, 11, 26), "source": "made up"}
    parameters = ["max_tokens", "stop"]
    models = [
        {
            "id": name,
            "canonical_slug": f"{name}-20261126",
            "name": name,
            "description": name,
            "created": date(2026, 11, 26),
            "input_modalities": inputs,
            "output_modalities": outputs,
            "tokenizer": "Other",
            "endpoints": [
                {
                    "provider": provider,
                    "upstream_model": upstream,
                    "price": {**price, "image": "0.04"} if outputs == ["image"] else price,
                    "context_length": 32768,
                    "supported_parameters": parameters if outputs == ["text"] else [],
                }
                for provider in ("sim", "sim-b")
            ],
        }
        for name, (upstream, inputs, outputs) in CATALOG.items()
    ]
    (catalog / "canary.yaml").write_text(yaml.safe_dump({"models": models}))
    return catalog


def _write_provider_keys(state: Path, canaries: Canaries) -> None:
    keys = state / "provider-keys"
    keys.mkdir(parents=True, mode=0o700)
    own = {provider: canaries.text("the operator's provider key") for provider in ("sim", "sim-b")}
    (keys / "canary.yaml").write_text(yaml.safe_dump(own))


@pytest.mark.parametrize(
    "kind",
    [
        "log|what the stack shows",
        "traces",
        "metrics",
        "topic",
        "table|statements",
        "ClickHouse",
        "file",
        "command line",
    ],
    ids=["logs", "traces", "metrics", "kafka", "postgresql", "clickhouse", "files", "command-lines"],
)
def test_s25_no_secret_and_nothing_that_was_said_is_left(remains: Remains, kind: str) -> None:
    left = remains.found(kind)
    assert sorted(left) == [], left


def test_s25_what_must_be_in_the_clear_is_found_so_that_the_search_does_find(remains: Remains) -> None:
    for label in IN_THE_CLEAR:
        assert any(each.label == label for finds in remains.finds.values() for each in finds), label


def test_s25_every_place_was_looked_into(remains: Remains) -> None:
    generation = remains.generations[-1].encode()
    for kind in (
        "log edge",
        "log router",
        "traces",
        r"topic turnpike\.usage\.v1",
        "table settled_events",
        "ClickHouse ",
        "file spool/",
    ):
        assert any(generation in content for name, content in remains.surfaces.items() if re.match(kind, name)), kind
    for name in surfaces.SERVICES:
        assert b"# TYPE" in remains.surfaces[f"metrics of {name}"]
        assert remains.surfaces[f"log {name}.log"]


def test_s23_s37_no_answer_repeats_a_key_that_is_not_its_callers(remains: Remains) -> None:
    theirs = re.compile(
        r"the operator's|a customer's|pepper|contents_key|postgres|payment|keks|the secret of the OpenID"
    )
    for what, body in remains.answers:
        assert [each for each in remains.canaries.find(body) if theirs.match(each.label)] == [], what


def test_s46_what_is_kept_by_opt_in_is_in_no_table_in_the_clear(remains: Remains) -> None:
    assert "what is kept by opt-in" in remains.canaries.labels
    assert any(name == "table generation_contents" and content for name, content in remains.surfaces.items())
    found = remains.found("table|file postgres")
    assert "what is kept by opt-in" not in found
