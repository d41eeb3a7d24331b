"""How each dialect wants to be shown a credential: the headers of one request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

_NAMES = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "azure-openai": "api-key"}


def credential_headers(dialect: str, credential: str, *, url: str, body: bytes, now: datetime) -> Mapping[str, str]:
    """Return the headers that carry a credential, or a signature made with it.

    Args:
        dialect: the word of the catalogue.
        credential: as the operator stores it; empty for a server that wants none.
        url: the address exactly as it goes over the wire.
        body: what is sent.
        now: the time, with a zone.

    Raises:
        ValueError: the credential or the address is not of the form that the dialect needs. The message quotes neither.
    """
    if not credential:
        return {}
    if dialect == "bedrock":
        # Imported here, so that only who speaks to Bedrock pays for botocore.
        from dialects.bedrock.signature import bedrock_headers

        return bedrock_headers(credential, url, body, now)
    name = _NAMES.get(dialect)
    return {name: credential} if name is not None else {"Authorization": f"Bearer {credential}"}
