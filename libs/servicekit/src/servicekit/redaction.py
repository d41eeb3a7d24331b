"""Masking of what must not be logged: by the form of a value and by the name of a field."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

from pydantic import SecretBytes, SecretStr

MASK: Final = "[redacted]"

DEFAULT_PATTERNS: Final = (
    r"\b[A-Za-z]+_[A-Za-z]+_[0-9A-Za-z]{20,}",  # <word>_<word>_<20+ base62>, the common form of API keys
    r"\bsk-[0-9A-Za-z_-]{8,}",
    r"(?i:\bbearer)\s+[0-9A-Za-z._~+/=-]+",
    r"(?<=://)[^\s/@:]*:[^\s/]+(?=@)",  # user and password in an address; the password may hold an unescaped @
)
"""Forms of secrets, as regular expressions."""

DEFAULT_FIELDS: Final = (
    "authorization",
    "cookie",
    "credential",
    "passphrase",
    "password",
    "pepper",
    "private_key",
    "secret",
    "api_key",
    "apikey",
)
"""Parts of field names whose values are secret, whatever they look like. `-` in a name counts as `_`."""


class Redactor:
    """A structlog processor that masks secrets in every field, also inside mappings and lists."""

    def __init__(self, patterns: Sequence[str] = DEFAULT_PATTERNS, fields: Sequence[str] = DEFAULT_FIELDS) -> None:
        """Make a redactor.

        Args:
            patterns: regular expressions; what they match in a text is masked.
            fields: parts of field names, lower case; the whole value of such a field is masked.
        """
        self._values = re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None
        self._names = re.compile("|".join(re.escape(field) for field in fields), re.IGNORECASE) if fields else None
        self._secret_names: dict[str, bool] = {}

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Mask the fields of a log event."""
        for name, value in event.items():
            event[name] = MASK if self._is_secret(name) and value else self.redact(value)
        return event

    def redact(self, value: Any) -> Any:
        """Mask secrets inside a value."""
        if isinstance(value, str):
            return value if self._values is None else self._values.sub(MASK, value)
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, SecretStr | SecretBytes):
            return MASK
        if isinstance(value, Mapping):
            # A mapping may be keyed by what is secret, and JSON takes no keys but texts.
            return {
                self.redact(str(name)): MASK if self._is_secret(str(name)) else self.redact(inner)
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.redact(inner) for inner in value]
        if isinstance(value, bytes):
            return self.redact(value.decode("utf-8", "replace"))
        return self.redact(str(value))

    def _is_secret(self, name: str) -> bool:
        # Most field names are literals of the program; the limit is for mappings that are keyed by data.
        known = self._secret_names.get(name)
        if known is None:
            known = self._names is not None and self._names.search(name.replace("-", "_")) is not None
            if len(self._secret_names) < 1000:
                self._secret_names[name] = known
        return known
