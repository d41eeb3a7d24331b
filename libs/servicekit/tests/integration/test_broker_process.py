"""The broker of tests and of the local stack, as a process."""

from __future__ import annotations

import socket

import pytest

from servicekit.kafka import BusUnavailableError, fetch_cluster_id
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess


async def test_each_start_is_another_cluster_at_the_same_address(broker: BrokerProcess, kafka: KafkaSettings) -> None:
    address, first = broker.bootstrap, await fetch_cluster_id(kafka)
    broker.restart()
    second = await fetch_cluster_id(kafka)
    broker.stop()
    with pytest.raises(BusUnavailableError):
        await fetch_cluster_id(kafka)
    broker.start()
    assert broker.bootstrap == address
    assert len({first, second, await fetch_cluster_id(kafka)}) == 3


async def test_frozen_it_answers_nobody_and_is_the_same_cluster_afterwards(
    broker: BrokerProcess, kafka: KafkaSettings
) -> None:
    first = await fetch_cluster_id(kafka)
    broker.suspend()
    with pytest.raises(BusUnavailableError):
        await fetch_cluster_id(kafka)
    broker.resume()
    assert await fetch_cluster_id(kafka) == first


def test_it_is_started_once_and_a_taken_port_is_reported(broker: BrokerProcess) -> None:
    with pytest.raises(RuntimeError, match="running"):
        broker.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = BrokerProcess(port=taken.getsockname()[1])
        with pytest.raises(RuntimeError, match="did not start"):
            second.start()
