"""The broker of tests, as a process: the embedded one, or Apache Kafka."""

from __future__ import annotations

import socket

import pytest

from servicekit.kafka import BusUnavailableError, fetch_cluster_id
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, keeps_records
from servicekit.testing.broker import EmbeddedBroker


async def test_a_replaced_one_is_another_cluster_at_the_same_address(
    broker: BrokerProcess, kafka: KafkaSettings
) -> None:
    address, first = broker.bootstrap, await fetch_cluster_id(kafka)
    broker.replace()
    assert broker.bootstrap == address
    assert await fetch_cluster_id(kafka) != first


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_one_that_starts_again_is_the_same_cluster_where_it_keeps_its_records(
    broker: BrokerProcess, kafka: KafkaSettings, end: str
) -> None:
    address, first = broker.bootstrap, await fetch_cluster_id(kafka)
    getattr(broker, end)()
    with pytest.raises(BusUnavailableError):
        await fetch_cluster_id(kafka)
    broker.start()
    assert broker.bootstrap == address
    assert (await fetch_cluster_id(kafka) == first) is keeps_records()


async def test_frozen_it_answers_nobody_and_is_the_same_cluster_afterwards(
    broker: BrokerProcess, kafka: KafkaSettings
) -> None:
    first = await fetch_cluster_id(kafka)
    broker.suspend()
    with pytest.raises(BusUnavailableError):
        await fetch_cluster_id(kafka)
    broker.resume()
    assert await fetch_cluster_id(kafka) == first


def test_it_is_started_once(broker: BrokerProcess) -> None:
    with pytest.raises(RuntimeError, match="running"):
        broker.start()


def test_a_taken_port_is_reported_by_the_embedded_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = EmbeddedBroker(port=taken.getsockname()[1])
        with pytest.raises(RuntimeError, match="did not start"):
            second.start()
