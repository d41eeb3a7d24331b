"""S10: a call that does not say what it reaches does not start."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from accounts.api.permissions import CALLS, Reach, check_reaches, problems_of, reach_of
from servicekit.grpc_server import GrpcServer
from servicekit.settings import GrpcServerSettings
from servicekit.testing.components import make_runtime
from turnpike.accounts.v1 import (
    destination_service_pb2,
    key_service_pb2,
    member_service_pb2,
    org_service_pb2,
    payment_service_pb2,
    reconciliation_service_pb2,
    session_service_pb2,
    suspense_service_pb2,
)


def service(name: str, method: str, *fields: str) -> ServiceDescriptor:
    """A service with one call that has these members."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="of_a_test", syntax="proto3")
    request = file.message_type.add(name="Request")
    for number, field in enumerate(fields, start=1):
        request.field.add(name=field, number=number, type=9, label=1)
    file.service.add(name=name).method.add(
        name=method, input_type=".of_a_test.Request", output_type=".of_a_test.Request"
    )
    pool = DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName(f"of_a_test.{name}")


def test_s10_a_call_of_a_service_that_nobody_spoke_of_is_named() -> None:
    assert problems_of(service("NewService", "Ask", "org_id")) == ["NewService/Ask does not say what it reaches"]


def test_s10_a_new_call_of_a_known_service_must_say_which_organisation() -> None:
    assert problems_of(service("KeyService", "Ask", "org_id")) == []
    assert problems_of(service("KeyService", "Ask", "digest")) == [
        "KeyService/Ask reaches an organisation and does not say which"
    ]


def test_s10_what_is_said_is_said_of_calls_that_there_are() -> None:
    modules = (
        destination_service_pb2,
        key_service_pb2,
        member_service_pb2,
        org_service_pb2,
        payment_service_pb2,
        reconciliation_service_pb2,
        session_service_pb2,
        suspense_service_pb2,
    )
    there = {
        f"{found.name}/{method.name}"
        for module in modules
        for found in module.DESCRIPTOR.services_by_name.values()
        for method in found.methods
    }
    assert set(CALLS) <= there
    assert reach_of("KeyService", "ResolveKey") is Reach.BEARER


async def test_s10_the_server_does_not_listen_with_a_call_that_does_not_say_it() -> None:
    def register(server: grpc.aio.Server) -> Sequence[str]:
        names = ["turnpike.accounts.v1.KeyService", "grpc.health.v1.Health"]
        check_reaches(names)
        return names

    server = GrpcServer(GrpcServerSettings(), make_runtime(), register)
    with pytest.raises(ValueError, match="Health/Check does not say what it reaches"):
        await server.start()
    assert server.port == 0
