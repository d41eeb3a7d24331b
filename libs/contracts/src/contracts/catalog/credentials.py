"""Provider credentials: a YAML mapping of provider slug to API key, or keys. No error and no `repr` shows a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import yaml

from contracts.catalog import vocabulary as words
from contracts.catalog.problems import CatalogError, Problem
from contracts.catalog.yaml_fields import compose


class ProviderCredentials(Mapping[str, str]):
    """API keys by provider slug, the first where a provider has several.

    A provider that needs no key has an empty one: being listed makes it routable.
    """

    def __init__(self, keys: Mapping[str, str], further: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """Hold keys; `further` has those beside the first, for the providers that have several."""
        self._keys = dict(keys)
        self._further = dict(further or {})

    def keys_of(self, slug: str) -> tuple[str, ...]:
        """Return all keys of a provider, in the order of the file.

        Raises:
            KeyError: it has none.
        """
        return (self._keys[slug], *self._further.get(slug, ()))

    def __getitem__(self, slug: str) -> str:
        return self._keys[slug]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"ProviderCredentials({', '.join(sorted(self._keys))})"


def parse_credentials(files: Sequence[tuple[str, str]]) -> ProviderCredentials:
    """Read `(name, text)` pairs into one mapping. An empty file or mapping means no credentials.

    Raises:
        CatalogError: with every fault; what stands at the faulty place is not shown.
    """
    problems: list[Problem] = []
    keys: dict[str, tuple[str, ...]] = {}
    for file, text in sorted(files):
        _read(file, text, keys, problems)
    if problems:
        raise CatalogError(problems)
    return ProviderCredentials(
        {slug: each[0] for slug, each in keys.items()}, {slug: each[1:] for slug, each in keys.items() if each[1:]}
    )


def _read(file: str, text: str, keys: dict[str, tuple[str, ...]], problems: list[Problem]) -> None:
    found: list[Problem] = []
    node = compose(file, text, found)
    if node is None:
        # A YAML message may quote the text, which is a secret here. An empty file is fine.
        problems.extend(Problem(file, fault.line, "not valid YAML") for fault in found if "YAML" in fault.reason)
        return
    if not isinstance(node, yaml.MappingNode):
        problems.append(Problem(file, node.start_mark.line + 1, "must be a mapping of provider slug to key"))
        return
    for name, value in node.value:
        line = name.start_mark.line + 1
        slug = name.value if isinstance(name, yaml.ScalarNode) else ""
        if words.SLUG.fullmatch(slug) is None:
            problems.append(Problem(file, line, "a provider's slug is malformed"))
        elif slug in keys:
            problems.append(Problem(file, line, f"{slug}: given twice"))
        else:
            fault, found_keys = _keys(value)
            if fault:
                problems.append(Problem(file, line, f"{slug}: {fault}"))
            else:
                keys[slug] = found_keys


def _keys(value: yaml.Node) -> tuple[str, tuple[str, ...]]:
    """Read a key or a list of keys; gives what is wrong, or nothing and the keys."""
    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
    if not nodes:
        return "the list of keys is empty", ()
    for node in nodes:
        if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith(":str"):
            return "the key must be text in quotes", ()
        if any(not 33 <= ord(character) <= 126 for character in node.value):
            return "the key has spaces or characters that no header can carry", ()
    texts = tuple(node.value for node in nodes)
    if len(set(texts)) < len(texts):
        return "a key is listed twice", ()
    return "", texts
