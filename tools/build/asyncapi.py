"""Write docs/asyncapi.yaml and docs/kafka-reference.md from the topics and messages in the code; with `--check`, only say whether
they are in step.

The document is AsyncAPI 3.1. Messages are described by their protobuf sources, each made whole with what it imports.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from contracts.topic_layout import LAYOUTS, TopicLayout
from contracts.topics import ALL, CONTENT_TYPE, Topic

ROOT: Final = Path(__file__).resolve().parents[2]
PROTOS: Final = ROOT / "protos"
DOCUMENT: Final = ROOT / "docs" / "asyncapi.yaml"
PAGE: Final = ROOT / "docs" / "kafka-reference.md"
PROTOBUF: Final = "application/vnd.google.protobuf;version=3"
ABOUT: Final = """Events that Turnpike's services publish on Apache Kafka, for other consumers. Records are CloudEvents 1.0 in binary mode: the value is a
bare protobuf message, everything about it is in headers. No record holds a prompt, an answer, an API key or a provider's key.
"""
HEAD: Final = """# Kafka reference

Every topic with its records and the fields of its messages. [Kafka topics](kafka-topics.md) says what holds of them and how to create them;
[asyncapi.yaml](asyncapi.yaml) is the same for programs (AsyncAPI 3.1). Both are made by `make docs` from the table of topics
and the protobuf files.
"""
_LAYOUTS: Final = {layout.name: layout for layout in LAYOUTS}
_KINDS: Final = {
    FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}"): name
    for name in ("double", "int64", "int32", "bool", "string", "bytes")
}


def identifier(topic: Topic) -> str:
    """A topic's name within the document: `endpointStats` of `turnpike.endpoint-stats.v1`."""
    first, *rest = topic.name.split(".")[1].split("-")
    return first + "".join(word.capitalize() for word in rest)


def document() -> dict[str, Any]:
    """The AsyncAPI document."""
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Turnpike events",
            "version": "1.0.0",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{brokers}",
                "protocol": "kafka",
                "description": "The cluster of the installation.",
                "variables": {
                    "brokers": {"default": "127.0.0.1:9092", "description": "host:port of a bootstrap broker"}
                },
            }
        },
        "channels": dict(_channels()),
        "operations": dict(_operations()),
        "components": {
            "messages": {identifier(topic): _message(topic) for topic in ALL},
            "messageTraits": {"cloudEvent": _cloud_event()},
        },
    }


def _channels() -> Iterator[tuple[str, dict[str, Any]]]:
    for topic in ALL:
        name = identifier(topic)
        yield name, _channel(topic.name, topic, f"Keyed by {topic.key}. {_kept(topic.name)}")
        if topic.dead_letters:
            about = (
                f"What {' and '.join(topic.readers[:2])} refused, as it was, with the headers x-original-topic, "
                "x-original-partition, x-original-offset, x-consumer and x-reason added. A value may break every rule."
            )
            yield f"{name}DeadLetters", _channel(topic.dead_letters, topic, about)


def _channel(address: str, topic: Topic, about: str) -> dict[str, Any]:
    layout = _LAYOUTS[address]
    name = identifier(topic)
    return {
        "address": address,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": _channel_binding(layout)},
    }


def _channel_binding(layout: TopicLayout) -> dict[str, Any]:
    kept: dict[str, Any] = {
        name: [value] if name == "cleanup.policy" else int(value)
        for name, value in layout.kept.items()
        if name in {"cleanup.policy", "retention.ms"}
    }
    binding: dict[str, Any] = {
        "topic": layout.name,
        "partitions": layout.partitions,
        "replicas": layout.replicas,
        "bindingVersion": "0.5.0",
    }
    return {**binding, "topicConfiguration": kept} if kept else binding


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for topic in ALL:
        name = identifier(topic)
        yield (
            f"publish{name[:1].upper()}{name[1:]}",
            {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": f"{topic.writer} publishes, {', '.join(topic.readers)} read.",
                "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            },
        )


def _message(topic: Topic) -> dict[str, Any]:
    descriptor = topic.message_type.DESCRIPTOR
    message = {
        "name": descriptor.full_name,
        "title": descriptor.name,
        "summary": _sentence(_comments(descriptor.file.name)[descriptor.name, ""]),
        "contentType": CONTENT_TYPE,
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "headers": {"type": "object", "properties": {"ce_type": {"type": "string", "const": topic.event_type}}},
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": "0.5.0"}},
        "payload": {"schemaFormat": PROTOBUF, "schema": whole_source(descriptor.file.name)},
    }
    examples = sorted((PROTOS / "examples" / _snake(descriptor.name)).glob("*.json"))
    if examples:
        message["examples"] = [
            {
                "name": path.stem,
                "summary": "In protobuf's JSON form.",
                "payload": json.loads(path.read_text(encoding="utf-8")),
            }
            for path in examples
        ]
    return message


def _cloud_event() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "content-type"],
            "properties": {
                "ce_specversion": {**text, "const": "1.0"},
                "ce_id": {**text, "description": "The fact; a repeat of the record has the same."},
                "ce_source": {**text, "description": "The process that states it, such as /router/router-0."},
                "ce_type": text,
                "ce_time": {**text, "format": "date-time", "description": "When it happened."},
                "ce_subject": {**text, "description": "What it is about, such as the generation."},
                "content-type": {**text, "const": CONTENT_TYPE},
                "traceparent": {**text, "description": "The trace of the request; of usage events only."},
            },
        }
    }


# --- protobuf sources


def whole_source(file: str) -> str:
    """The source of a protobuf file with those of the same package that it imports put into it."""
    seen: set[str] = set()
    bodies: list[str] = []
    imports: set[str] = set()
    package = _package(file)

    def add(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        text = (PROTOS / name).read_text(encoding="utf-8")
        if _package(name) != package:
            raise ValueError(f"{file} needs {name}, which is of another package")
        for needed in re.findall(r'^import "([^"]+)";$', text, re.MULTILINE):
            if needed.startswith("google/"):
                imports.add(needed)
            else:
                add(needed)
        body = re.sub(r"^(syntax|package|import) .*;\n", "", text, flags=re.MULTILINE)
        bodies.append(body.strip("\n"))

    add(file)
    head = ['syntax = "proto3";', "", f"package {package};", "", *(f'import "{name}";' for name in sorted(imports)), ""]
    return "\n".join([*head, "\n\n".join(bodies), ""])


def _package(file: str) -> str:
    (package,) = re.findall(r"^package ([\w.]+);$", (PROTOS / file).read_text(encoding="utf-8"), re.MULTILINE)
    return str(package)


_described: dict[str, FileDescriptorProto] = {}


def _files() -> Mapping[str, FileDescriptorProto]:
    """Every file with its comments, by name."""
    if not _described:
        names = sorted({topic.message_type.DESCRIPTOR.file.name for topic in ALL})
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "set"
            command = [
                sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", "--include_imports", "--include_source_info",
                f"--descriptor_set_out={out}", *names,
            ]  # fmt: skip
            subprocess.run(command, check=True)
            found = FileDescriptorSet.FromString(out.read_bytes())
        _described.update({file.name: file for file in found.file})
    return _described


def _comments(file: str) -> Mapping[tuple[str, str], str]:
    """Comments by message and field (empty for the message itself)."""
    described, found = _files()[file], {}
    for location in described.source_code_info.location:
        path = list(location.path)
        if len(path) == 2 and path[0] == 4:
            found[described.message_type[path[1]].name, ""] = location.leading_comments
        elif len(path) == 4 and path[0] == 4 and path[2] == 2:
            message = described.message_type[path[1]]
            found[message.name, message.field[path[3]].name] = location.leading_comments
    return {key: " ".join(text.split()) for key, text in found.items()}


# --- the page


def page() -> str:
    """The page for people."""
    return "\n".join([HEAD, *(_section(topic) for topic in ALL)])


def _section(topic: Topic) -> str:
    descriptor = topic.message_type.DESCRIPTOR
    layout = _LAYOUTS[topic.name]
    lines = [
        f"## {topic.name}",
        "",
        _comments(descriptor.file.name)[descriptor.name, ""],
        "",
        "| | |",
        "|---|---|",
        f"| from, to | {topic.writer} → {', '.join(topic.readers)} |",
        f"| key | `{topic.key}` |",
        f"| `ce_type` | `{topic.event_type}` |",
        f"| kept | {_kept(topic.name)} |",
        f"| partitions | {layout.partitions} |",
    ]
    if topic.dead_letters:
        lines.append(f"| dead letters | `{topic.dead_letters}` |")
    lines.append("")
    shown: set[str] = set()
    for message in _messages_of(descriptor, shown):
        lines += [f"### {topic.name}: {message}", "", *_fields(descriptor.file.name, message), ""]
    return "\n".join(lines)


def _messages_of(descriptor: Any, seen: set[str]) -> Iterator[str]:
    if descriptor.full_name in seen or not descriptor.full_name.startswith("turnpike."):
        return
    seen.add(descriptor.full_name)
    yield descriptor.name
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from _messages_of(field.message_type, seen)


def _fields(file: str, name: str) -> Iterator[str]:
    source, message = _message_named(file, name)
    comments = _comments(source)
    yield "| field | type | |"
    yield "|---|---|---|"
    for field in message.field:
        repeated = "list of " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
        kind = _KINDS.get(field.type) or field.type_name.rsplit(".", 1)[-1]
        text = comments[name, field.name].replace("|", "\\|")
        yield f"| `{field.name}` = {field.number} | {repeated}{kind} | {text} |"


def _message_named(file: str, name: str) -> tuple[str, DescriptorProto]:
    for candidate in (file, *_files()[file].dependency):
        for message in _files()[candidate].message_type:
            if message.name == name:
                return candidate, message
    raise LookupError(f"{file} has no {name}")


def _kept(name: str) -> str:
    kept = _LAYOUTS[name].kept
    if kept.get("cleanup.policy") == "compact":
        return "Compacted: the last record of each key."
    milliseconds = int(kept["retention.ms"])
    if milliseconds < 0:
        return "Kept for ever."
    minutes = milliseconds // 60_000
    return f"Kept for {minutes // 1440} days." if minutes >= 1440 else f"Kept for {minutes} minutes."


def _sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal things out each time: references are the document's own."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def texts() -> Mapping[Path, str]:
    """What each file has to be."""
    written = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, width=130, allow_unicode=True)
    return {
        DOCUMENT: "# Made by `make docs` from the table of topics and the protobuf files.\n" + written,
        PAGE: page(),
    }


def main() -> int:
    wrong = [path for path, text in texts().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" not in sys.argv:
        for path, text in texts().items():
            path.write_text(text, encoding="utf-8")
        return 0
    for path in wrong:
        print(f"docs/{path.name} is not what the topics say: run 'make docs' and commit the result", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
