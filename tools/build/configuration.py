"""Write docs/configuration.md from the services' settings classes; with `--check`, only say whether it is in step."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from servicekit import settings as shared
from servicekit.durations import format_duration

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"
SERVICES = ("edge", "router", "health-prober", "metering", "accounts", "broadcast")
# A role of a service is a process of its own.
MODULES = {"broadcast": "metering.broadcast"}
HEAD = """# Configuration

Every service reads its settings from the environment, once, and reports every problem together; `python -m <service> --check` does
only that. A variable with a service's prefix that no setting has is a problem too. Durations are written `500ms`, `30s`, `5m`, `1h30m`;
lists of words with commas, lists of paths with colons. An empty value counts as not set. A secret can be in a file as well, which the same
variable with `_FILE` at its end names, such as `EDGE_KEYS_PEPPER_FILE`: its text without the last line end.

This page is made by `make docs`.
"""


def rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """A line of a table for each field of a section."""
    for name, field in model.model_fields.items():
        yield f"| `{prefix}{name.upper()}` | {default_of(field)} | {field.description or ''} |"


def default_of(field: FieldInfo) -> str:
    """What holds when nothing is said."""
    if _holds_secret(field.annotation):
        return "required, secret" if field.is_required() else "none, secret"
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "host and process id"
    return f"`{_as_text(field.default)}`" if field.default not in (None, PydanticUndefined, ()) else "none"


def _as_text(value: Any) -> str:
    return format_duration(value) if isinstance(value, timedelta) else str(value)


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_holds_secret(part) for part in get_args(annotation))


def _section(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *get_args(field.annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _table(title: str, about: str, lines: Iterator[str]) -> str:
    return "\n".join([f"### {title}", "", about, "", "| variable | default | |", "|---|---|---|", *lines, ""])


def _about(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").partition("\n")[0]


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Every service\n\n`<SERVICE>` is the service's name in capitals, `HEALTH_PROBER` for example.\n"]
    own = [(name, field) for name, field in shared.ServiceSettings.model_fields.items() if _section(field) is None]
    plain = (f"| `<SERVICE>_{name.upper()}` | {default_of(field)} | {field.description or ''} |" for name, field in own)
    parts.append(_table("Itself", "Who it is.", plain))
    for name, field in shared.ServiceSettings.model_fields.items():
        if model := _section(field):
            parts.append(_table(name.capitalize(), _about(model), rows(model, f"<SERVICE>_{name.upper()}_")))
    parts.append("## Those that use Kafka or serve gRPC\n")
    for title, name, model in (("Kafka", "kafka", shared.KafkaSettings), ("gRPC", "grpc", shared.GrpcServerSettings)):
        parts.append(_table(title, _about(model), rows(model, f"<SERVICE>_{name.upper()}_")))
    for service in SERVICES:
        parts.append(_service(service))
    return "\n".join(parts)


def _service(service: str) -> str:
    settings = importlib.import_module(f"{MODULES.get(service, service.replace('-', '_'))}.settings").Settings
    prefix = service.replace("-", "_").upper() + "_"
    known = {shared.KafkaSettings: "Kafka", shared.GrpcServerSettings: "gRPC"}
    has = [known[model] for field in settings.model_fields.values() if (model := _section(field)) in known]
    parts = [f"## {service}\n", f"With the settings of {' and '.join(has)} above.\n" if has else ""]
    for name, field in settings.model_fields.items():
        model = _section(field)
        if name in shared.ServiceSettings.model_fields or model in known:
            continue
        if model is None:
            line = f"| `{prefix}{name.upper()}` | {default_of(field)} | {field.description or ''} |"
            parts.append(_table(name.capitalize(), "", iter([line])))
        else:
            parts.append(_table(name.capitalize(), _about(model), rows(model, f"{prefix}{name.upper()}_")))
    return "\n".join(parts)


def main() -> int:
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/configuration.md is not what the settings say: run 'make docs' and commit the result", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
