"""Catalogue files on disk, found as the services find them."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from turnpike_cli.errors import CommandError


class CatalogFileError(CommandError):
    """A catalogue file cannot be read or written."""


def read_catalog_files(paths: Sequence[Path]) -> dict[str, str]:
    """Read files by name: every `*.yaml` below a folder, hidden ones left out, and what is named itself.

    Raises:
        CatalogFileError: a path is missing or cannot be read, or holds no file.
    """
    found: dict[str, str] = {}
    for path in paths:
        if path.is_dir():
            below = [each for each in path.rglob("*.yaml") if not _is_hidden(each.relative_to(path))]
            if not below:
                raise CatalogFileError(f"{path}: there is no *.yaml below it")
        else:
            below = [path]
        found.update((str(each), read_text(each)) for each in sorted(below))
    return found


def read_text(path: Path) -> str:
    """Read a text file, one that ends in `.gz` too.

    Raises:
        CatalogFileError: it is missing or cannot be read.
    """
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except UnicodeDecodeError:
        raise CatalogFileError(f"{path}: not UTF-8") from None
    except OSError as error:
        raise CatalogFileError(f"{path}: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise CatalogFileError(f"{path}: not a whole gzip file") from None


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files below a folder, each at once, so that no reader sees half of one.

    Raises:
        CatalogFileError: one cannot be written.
    """
    for name, text in sorted(texts.items()):
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{target.name}.new")
            fresh.write_text(text, encoding="utf-8")
            os.replace(fresh, target)
        except OSError as error:
            raise CatalogFileError(f"{target}: {error.strerror or error}") from None


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
