"""docs/asyncapi.yaml is an AsyncAPI document by AsyncAPI's own schema, and its messages are those that travel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.json_format import ParseDict

from clients_support.environments import node, packages_folder
from contracts.topic_layout import LAYOUTS
from contracts.topics import ALL, Topic

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "asyncapi.yaml"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return found


def messages(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By full name."""
    return {each["name"]: each for each in document["components"]["messages"].values()}


@pytest.mark.timeout(300)
def test_the_document_holds_by_the_schema_of_asyncapi(document: dict[str, Any]) -> None:
    folder = packages_folder(node(), HERE)
    schema = json.loads(
        (folder / "node_modules/@asyncapi/specs/schemas/3.1.0-without-$id.json").read_text(encoding="utf-8")
    )
    validator = jsonschema.Draft7Validator(schema)
    assert [each.message for each in validator.iter_errors(document)] == []
    broken = {**document, "channels": {"usage": {"address": 7}}}
    assert not validator.is_valid(broken)


def test_every_topic_is_a_channel_as_it_is_laid_out(document: dict[str, Any]) -> None:
    channels = {each["address"]: each["bindings"]["kafka"] for each in document["channels"].values()}
    assert {name: (each["partitions"], each["replicas"]) for name, each in channels.items()} == {
        layout.name: (layout.partitions, layout.replicas) for layout in LAYOUTS
    }


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: str(topic.name))
def test_a_schema_is_the_message_that_travels(topic: Topic, document: dict[str, Any], tmp_path: Path) -> None:
    descriptor = topic.message_type.DESCRIPTOR
    message = messages(document)[descriptor.full_name]
    (tmp_path / "whole.proto").write_text(message["payload"]["schema"], encoding="utf-8")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path}", f"--descriptor_set_out={tmp_path / 'set'}"]
    subprocess.run([*command, "whole.proto"], check=True)
    (compiled,) = FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    fields = {each.name: [(f.name, f.number, f.type) for f in each.field] for each in compiled.message_type}
    assert f"{compiled.package}.{descriptor.name}" == descriptor.full_name
    assert fields[descriptor.name] == [(each.name, each.number, each.type) for each in descriptor.fields]
    assert message["headers"]["properties"]["ce_type"]["const"] == topic.event_type
    for example in message["examples"]:
        ParseDict(example["payload"], topic.message_type())
