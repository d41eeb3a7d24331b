"""The catalogue's quirks are the words that the code of the dialects asks for."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

from contracts.catalog import QUIRKS_OF, Dialect

# Dialects that are written with the code of another one.
_BUILT_ON = {Dialect.AZURE_OPENAI: Dialect.OPENAI_COMPATIBLE, Dialect.BEDROCK: Dialect.ANTHROPIC}


def words_in(dialect: Dialect) -> set[str]:
    package = importlib.import_module(f"dialects.{dialect.replace('-', '_')}")
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
    ]
    return {
        value
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and re.fullmatch(r"[a-z]+(?:-[a-z]+)+", value)
    }


@pytest.mark.parametrize("dialect", Dialect)
def test_a_dialect_knows_the_quirks_that_the_catalogue_may_set(dialect: Dialect) -> None:
    words = words_in(dialect)
    if dialect in _BUILT_ON:
        words |= words_in(_BUILT_ON[dialect])
    assert words == set(QUIRKS_OF[dialect])
