from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr

from servicekit.clock import SystemClock
from servicekit.kafka import BusUnavailableError, ClusterState, ClusterView, ClusterWatch, fetch_cluster_id
from servicekit.kafka.cluster import connection_options
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


async def test_a_cluster_tells_its_id_over_one_connection_that_is_kept(
    broker: BrokerProcess, kafka: KafkaSettings
) -> None:
    watch = ClusterWatch(kafka, "test")
    first = await watch.view()
    assert first == await watch.view()
    assert first.cluster_id == await fetch_cluster_id(kafka)
    broker.replace()
    second = await watch.view()
    watch.close()
    watch.close()
    assert second.cluster_id != first.cluster_id
    assert second.replaces(first)


@pytest.mark.parametrize("state", ["gone", "silent"])
async def test_without_an_answer_the_cluster_is_unavailable(kafka: KafkaSettings, state: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if state == "gone":
            server.close()
        with pytest.raises(BusUnavailableError, match=str(port)):
            await fetch_cluster_id(kafka.model_copy(update={"brokers": f"127.0.0.1:{port}"}))


async def test_the_first_address_that_answers_counts(broker: BrokerProcess, kafka: KafkaSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = probe.getsockname()[1]
    several = kafka.model_copy(update={"brokers": f"127.0.0.1:{dead},{broker.bootstrap}"})
    assert await fetch_cluster_id(several) == await fetch_cluster_id(kafka)


@pytest.mark.parametrize(
    ("newer", "replaces"),
    [
        (ClusterView("a", frozenset({("h", 1), ("h", 2)})), False),
        (ClusterView("a", frozenset({("h", 2), ("h", 3)})), False),
        (ClusterView("a", frozenset({("h", 3)})), True),
        (ClusterView("b", frozenset({("h", 1), ("h", 2)})), True),
    ],
)
def test_a_view_replaces_another_when_its_clients_are_lost(newer: ClusterView, replaces: bool) -> None:
    assert newer.replaces(ClusterView("a", frozenset({("h", 1), ("h", 2)}))) is replaces


async def test_the_state_follows_loss_return_and_replacement(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    state = ClusterState(kafka, SystemClock(), "test")
    assert state.reachable is None
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(state.watch())
        first = await state.wait_reachable()
        replaced = tasks.create_task(state.wait_replaced(first))
        broker.kill()
        await eventually(lambda: state.reachable is False)
        # What is known stays known.
        assert state.view == first
        assert not replaced.done()
        broker.replace()
        second = await state.wait_reachable()
        await replaced
        assert second.replaces(first)
        watching.cancel()


def test_connections_take_the_security_that_is_set() -> None:
    plain = connection_options(KafkaSettings())
    assert plain == {"request_timeout_ms": 10_000, "security_protocol": "PLAINTEXT"}
    secured = connection_options(KafkaSettings(security="SASL_SSL", username="shop", password=SecretStr("hunter2")))
    assert secured["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (secured["sasl_plain_username"], secured["sasl_plain_password"]) == ("shop", "hunter2")
    assert secured["ssl_context"].check_hostname
