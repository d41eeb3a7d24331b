"""The configuration of a destination: which members each type has, what they must be, and what people may see of them."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from accounts.domain.destinations import DestinationConfig
from accounts.domain.errors import InvalidFieldError
from contracts.broadcast import DestinationType

SIGNING_SECRET: Final = "signingSecret"  # noqa: S105 - a member's name
SIGNING_PREFIX: Final = "whsec_"
SIGNING_BYTES: Final = 32
_MAX_URL, _MAX_TEXT, _MAX_HEADERS, _MAX_HEADER = 2_000, 1_000, 20, 4_096
_SHOWN, _LEAST_SHOWN = 4, 16
_REQUIRED: Final[Mapping[DestinationType, frozenset[str]]] = {
    DestinationType.OTEL_COLLECTOR: frozenset({"endpoint"}),
    DestinationType.WEBHOOK: frozenset({"url"}),
    DestinationType.S3: frozenset({"accessKeyId", "bucketName", "secretAccessKey"}),
}
_OPTIONAL: Final[Mapping[DestinationType, frozenset[str]]] = {
    DestinationType.OTEL_COLLECTOR: frozenset(),
    DestinationType.WEBHOOK: frozenset({"method", SIGNING_SECRET}),
    DestinationType.S3: frozenset({"endpoint", "pathTemplate", "prefix", "region", "sessionToken"}),
}
_SECRETS: Final = frozenset({"accessKeyId", "secretAccessKey", "sessionToken", SIGNING_SECRET})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
# What the sender or the connection says itself (RFC 9110, Standard Webhooks), and what would sign for another bucket.
_OWN_HEADERS: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "expect", "forwarded", "host", "keep-alive",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "webhook-id",
        "webhook-signature", "webhook-timestamp",
    }
)  # fmt: skip
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}")
_PATH: Final = re.compile(r"[A-Za-z0-9!_.*'()/=-]*")
PLACEHOLDERS: Final = frozenset({"prefix", "date", "year", "month", "day", "hour", "workspace_id", "destination_id"})
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]*)\}")


def checked_config(kind: DestinationType, config: DestinationConfig, *, private: bool) -> DestinationConfig:
    """Return a configuration, checked.

    Args:
        kind: what the destination is.
        config: what its owner says.
        private: whether destinations may be on private networks, and speak HTTP without TLS.

    Raises:
        InvalidFieldError: a member is missing, wrong or unknown. No value is repeated.
    """
    known = _REQUIRED[kind] | _OPTIONAL[kind]
    for name in config.members:
        if name not in known:
            raise InvalidFieldError(f"config.{name}"[:100], "is not a member for this type")
    for name in sorted(_REQUIRED[kind] - set(config.members)):
        raise InvalidFieldError(f"config.{name}", "is required for this type")
    for name, value in config.members.items():
        _check_member(name, value, private=private)
    _check_headers(kind, config.headers)
    return config


def masked(text: str) -> str:
    """Return what people may see of a secret: enough to tell two apart, and of a short one nothing."""
    return "***" if len(text) < _LEAST_SHOWN else f"{text[:_SHOWN]}...{text[-_SHOWN:]}"


def shown(config: DestinationConfig, in_the_open: frozenset[str] = frozenset()) -> DestinationConfig:
    """Return what people may see of a configuration: secrets and the values of headers are masked."""
    return DestinationConfig(
        {
            name: masked(value) if name in _SECRETS and name not in in_the_open else value
            for name, value in config.members.items()
        },
        {name: masked(value) for name, value in config.headers.items()},
    )


def changed(known: DestinationConfig, change: DestinationConfig, *, replaces_headers: bool) -> DestinationConfig:
    """Return a configuration after a change.

    What is masked as it is shown stays as it is, an empty text removes a member, and what is not said stays.
    """
    members = dict(known.members)
    for name, value in change.members.items():
        if name in _SECRETS and name in known.members and value == masked(known.members[name]):
            continue
        if value:
            members[name] = value
        else:
            members.pop(name, None)
    headers = dict(known.headers)
    if replaces_headers:
        of_name = {name.lower(): value for name, value in known.headers.items()}
        headers = {
            name: of_name[name.lower()]
            if value == masked(of_name.get(name.lower(), "")) and name.lower() in of_name
            else value
            for name, value in change.headers.items()
        }
    return DestinationConfig(members, headers)


def config_to_text(config: DestinationConfig) -> str:
    """Write a configuration, to be sealed."""
    document = {"members": dict(config.members), "headers": dict(config.headers)}
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def config_from_text(text: str) -> DestinationConfig:
    """Read what `config_to_text` wrote."""
    document = json.loads(text)
    return DestinationConfig(document["members"], document["headers"])


def _check_member(name: str, value: str, *, private: bool) -> None:
    field = f"config.{name}"
    if not 1 <= len(value) <= (_MAX_URL if name in {"url", "endpoint"} else _MAX_HEADER) or not value.isprintable():
        raise InvalidFieldError(field, "must have characters, not too many, and no control characters")
    if name in {"url", "endpoint"}:
        _check_url(field, value, private=private)
    elif name == "method" and value not in {"POST", "PUT"}:
        raise InvalidFieldError(field, "must be POST or PUT")
    elif name == SIGNING_SECRET:
        _check_signing_secret(field, value)
    elif name == "bucketName" and (_BUCKET.fullmatch(value) is None or ".." in value):
        raise InvalidFieldError(field, "must be the name of a bucket")
    elif name == "region" and _REGION.fullmatch(value) is None:
        raise InvalidFieldError(field, "must be the name of a region")
    elif name in {"prefix", "pathTemplate"}:
        _check_path(field, value, PLACEHOLDERS if name == "pathTemplate" else frozenset())
    elif name in {"accessKeyId", "secretAccessKey", "sessionToken"} and not (value.isascii() and " " not in value):
        raise InvalidFieldError(field, "must have no blanks and ASCII characters only")


def _check_url(field: str, value: str, *, private: bool) -> None:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidFieldError(field, "must be an address") from None
    if parts.scheme not in ({"https", "http"} if private else {"https"}):
        raise InvalidFieldError(field, "must be an https address")
    if not host or not value.isascii() or " " in value or "\\" in value or parts.fragment:
        raise InvalidFieldError(field, "must be an address with a host, in ASCII and without a fragment")
    if parts.username is not None or parts.password is not None:
        raise InvalidFieldError(field, "must not have a user name or a password: use a header")
    _check_host(field, parts, private=private)


def _check_host(field: str, parts: SplitResult, *, private: bool) -> None:
    """Refuse at once what the sender would never connect to. Names are resolved, and refused, by the sender (S15)."""
    if private:
        return
    try:
        address = ipaddress.ip_address((parts.hostname or "").strip("[]"))
    except ValueError:
        return
    if not address.is_global or address.is_multicast:
        raise InvalidFieldError(field, "must not be on a private network")


def _check_signing_secret(field: str, value: str) -> None:
    """The form is that of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(value.removeprefix(SIGNING_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not value.startswith(SIGNING_PREFIX) or not 24 <= len(key) <= 64:
        raise InvalidFieldError(field, "must be whsec_ and 24 to 64 bytes in base64")


def _check_path(field: str, value: str, placeholders: frozenset[str]) -> None:
    unknown = set(_PLACEHOLDER.findall(value)) - placeholders
    rest = _PLACEHOLDER.sub("", value)
    if unknown or _PATH.fullmatch(rest) is None or value.startswith("/") or ".." in value or len(value) > 500:
        raise InvalidFieldError(field, "must be a path of letters, digits and !-_.*'()=/ that does not begin with /")


def _check_headers(kind: DestinationType, headers: Mapping[str, str]) -> None:
    if len(headers) > _MAX_HEADERS:
        raise InvalidFieldError("config.headers", f"must have at most {_MAX_HEADERS} headers")
    if len({name.lower() for name in headers}) < len(headers):
        raise InvalidFieldError("config.headers", "must not have a header twice")
    for name, value in headers.items():
        lower = name.lower()
        if _TOKEN.fullmatch(name) is None:
            raise InvalidFieldError("config.headers", "has a name that no header can have")
        if lower in _OWN_HEADERS or (kind is DestinationType.S3 and (lower == "authorization" or lower == "date")):
            raise InvalidFieldError(f"config.headers.{name}", "cannot be set: it is the sender's")
        if kind is DestinationType.S3 and lower.startswith("x-amz-") and not lower.startswith(_S3_ALLOWED):
            raise InvalidFieldError(f"config.headers.{name}", "cannot be set: it is the sender's")
        if len(value) > _MAX_HEADER or not (value.isprintable() and value.isascii()):
            raise InvalidFieldError(
                f"config.headers.{name}", f"must have at most {_MAX_HEADER} printable ASCII characters"
            )


_S3_ALLOWED: Final = ("x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-acl", "x-amz-meta-")
