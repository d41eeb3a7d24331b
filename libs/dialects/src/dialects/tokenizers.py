"""Tokenizers that are known: OpenAI's, which count exactly what their models read and write.

For every other family there are estimates (`dialects.estimates`): its vocabulary is not published, or is not on this machine.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from dialects.estimates import estimate_text_tokens, text_bytes

O200K = "o200k_base"
CL100K = "cl100k_base"

# The catalogue's word for the family.
GPT_FAMILY = "GPT"
# The last models of the older vocabulary; 4o, 4.1 and 4.5 have the newer one, as everything after them.
_OLDER = re.compile(r"openai/(?:gpt-3\.5|gpt-4(?![o.\d])|text-embedding-)", re.ASCII)

# So much text is counted in some 3 ms, which an event loop can spare; of longer text a part is counted and the rest estimated.
MOST_COUNTED = 64 * 1_024
_PIECES = 16


class Tokenizer(Protocol):
    """Counts tokens."""

    def count(self, text: str) -> int:
        """Count the tokens of a text that can be UTF-8."""
        ...


@dataclass(frozen=True, slots=True)
class TextCount:
    """How many tokens a text has, and whether all of it was counted."""

    tokens: int
    exact: bool


def encoding_of(model: str, family: str) -> str | None:
    """Name the vocabulary of a model.

    Args:
        model: its id, `author/slug`.
        family: of its tokenizer, in the words of the catalogue.

    Returns:
        None when it is not known here.
    """
    if family != GPT_FAMILY:
        return None
    return CL100K if _OLDER.match(model) else O200K


@lru_cache(maxsize=4)
def load_tokenizer(encoding: str) -> Tokenizer:
    """Load a vocabulary: 50 ms and 40 MB for the newer one, the first time.

    Raises:
        ValueError: it is not known.
    """
    if encoding not in (O200K, CL100K):
        raise ValueError(f"no vocabulary {encoding!r}")
    tokenizer: Tokenizer = _native().tokenizer_for_encoding(encoding)
    return tokenizer


def count_text(tokenizer: Tokenizer, text: str) -> TextCount:
    """Count the tokens of a text, within a bounded time.

    Longer text is taken to be as dense as the pieces of it that are counted, from all over it.
    """
    if len(text) <= MOST_COUNTED:
        return TextCount(tokenizer.count(_utf8(text)), exact=True)
    size, step = MOST_COUNTED // _PIECES, len(text) // _PIECES
    sample = [_utf8(text[at * step : at * step + size]) for at in range(_PIECES)]
    counted = sum(tokenizer.count(piece) for piece in sample)
    measured = sum(len(piece) for piece in sample)
    return TextCount(-(-counted * len(text) // measured), exact=False)


def count_or_estimate(tokenizer: Tokenizer | None, text: str) -> TextCount:
    """Count the tokens of a text if there is a tokenizer, else estimate them."""
    if tokenizer is None:
        return TextCount(estimate_text_tokens(text_bytes(text)), exact=False)
    return count_text(tokenizer, text)


def _utf8(text: str) -> str:
    """Half a surrogate pair is no text; it counts as the character that stands for what cannot be read."""
    return text if text.isascii() else text.encode(errors="replace").decode()


@lru_cache(maxsize=1)
def _native() -> Any:
    """Load the compiled part of `bpe_openai`.

    Its Python part reads every vocabulary into dictionaries when it is imported, for a second and 70 MB, and only to look like
    another package; the compiled part has the counts, and its interface is published with it (`_bindings.pyi`).
    """
    package = importlib.util.find_spec("bpe_openai")
    if package is None or not package.submodule_search_locations:
        raise ImportError("bpe_openai is not installed")
    name = "bpe_openai._bindings"
    for folder in package.submodule_search_locations:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            file = Path(folder) / f"_bindings{suffix}"
            if file.exists():
                loader = importlib.machinery.ExtensionFileLoader(name, str(file))
                spec = importlib.util.spec_from_file_location(name, file, loader=loader)
                if spec is not None:
                    module = importlib.util.module_from_spec(spec)
                    loader.exec_module(module)
                    return module
    raise ImportError("bpe_openai has no compiled part for this Python")
