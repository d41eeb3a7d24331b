"""Bodies of the calls that manage customers' own provider keys, checked member by member. No error repeats a key."""

from __future__ import annotations

import re
from typing import Final

from edge.api.management.byok_bodies import ByokChangeBody, NewByokBody
from edge.api.management.members import JsonMembers, read_body
from turnpike.accounts.v1 import byok_service_pb2, records_pb2

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAX_KEY: Final = 16_384


def new_byok_key(data: bytes, org_id: str) -> byok_service_pb2.CreateByokKeyRequest:
    """Read a request to store a provider key.

    Raises:
        InvalidInputError: not JSON, or a member is missing, wrong or unknown.
    """
    members = read_body(data, NewByokBody)
    fields = byok_service_pb2.ByokKeyFields()
    _change(members, fields)
    return byok_service_pb2.CreateByokKeyRequest(
        org_id=org_id,
        workspace_id=members.text("workspace_id") or "",
        provider=members.required_text("provider", most=100),
        key=members.required_text("key", most=_MAX_KEY),
        fields=fields,
    )


def changed_byok_key(data: bytes, known: byok_service_pb2.ByokKey) -> byok_service_pb2.UpdateByokKeyRequest:
    """Read a request to change a provider key: absent members stay as they are, null removes a restriction or a name.

    Raises:
        InvalidInputError: not JSON, or a member is wrong or unknown.
    """
    members = read_body(data, ByokChangeBody)
    fields = byok_service_pb2.ByokKeyFields(
        name=known.name,
        disabled=known.disabled,
        is_fallback=known.is_fallback,
        is_required=known.is_required,
        allowed_models=known.allowed_models if known.HasField("allowed_models") else None,
        allowed_key_digests=known.allowed_key_digests if known.HasField("allowed_key_digests") else None,
        allowed_user_ids=known.allowed_user_ids if known.HasField("allowed_user_ids") else None,
    )
    _change(members, fields)
    return byok_service_pb2.UpdateByokKeyRequest(
        org_id=known.org_id,
        byok_key_id=known.byok_key_id,
        fields=fields,
        key=members.text("key", most=_MAX_KEY) or "",
    )


def _change(members: JsonMembers, fields: byok_service_pb2.ByokKeyFields) -> None:
    if members.has("name"):
        fields.name = members.text("name", most=255) or ""
    for name in ("disabled", "is_fallback", "is_required"):
        flag = members.flag(name)
        if flag is not None:
            setattr(fields, name, flag)
    digests = members.texts("allowed_api_key_hashes") or ()
    for index, digest in enumerate(digests):
        if _DIGEST.fullmatch(digest) is None:
            raise members.wrong(f"allowed_api_key_hashes[{index}]", "expected the hash of an API key")
    _set_list(members, "allowed_models", fields, "allowed_models")
    _set_list(members, "allowed_api_key_hashes", fields, "allowed_key_digests")
    _set_list(members, "allowed_user_ids", fields, "allowed_user_ids")


def _set_list(members: JsonMembers, name: str, fields: byok_service_pb2.ByokKeyFields, field: str) -> None:
    if members.is_null(name):
        fields.ClearField(field)  # type: ignore[arg-type]  # the names are those of the message
        return
    values = members.texts(name)
    if values is not None:
        getattr(fields, field).CopyFrom(records_pb2.TextList(values=values))
