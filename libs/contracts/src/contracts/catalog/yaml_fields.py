"""Typed reading of YAML mappings that notes every fault with its line and goes on.

After a fault a reader returns a stand-in of the right type; whoever reads throws the result away once a fault is noted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from datetime import date
from types import TracebackType
from typing import Self, TypeAlias

import yaml

from contracts.catalog.problems import Problem

Problems: TypeAlias = list[Problem]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TAG_NAMES = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false", "null": "nothing"}
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")  # all but the end of a line
_MAX_TEXT = 2000


def compose(file: str, text: str, problems: Problems) -> yaml.Node | None:
    """Parse one YAML document into nodes that know their lines; None, and a problem, when that is impossible."""
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problems.append(Problem(file, line, f"not valid YAML: {error.problem}"))
        return None
    except yaml.YAMLError:
        problems.append(Problem(file, 0, "not valid YAML: unreadable characters"))
        return None
    if node is None:
        problems.append(Problem(file, 0, "the file is empty"))
    return node


class Fields:
    """The members of one mapping. Leaving its `with` block reports the members that nobody read."""

    def __init__(self, file: str, node: yaml.Node, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._asked: set[str] = set()
        self._keys: dict[str, yaml.Node] = {}
        self._values: dict[str, yaml.Node] = {}
        self._is_mapping = isinstance(node, yaml.MappingNode)
        self.line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            self.problem(f"must be a mapping, is {_kind(node)}")
            return
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problem("a name of a field must be text", key)
            elif key.value in self._values:
                self.problem(f"{key.value}: given twice", key)
            else:
                self._keys[key.value] = key
                self._values[key.value] = value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in self._values.keys() - self._asked:
            close = difflib.get_close_matches(name, self._asked, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            self.problem(f"{name}: unknown field{hint}", self._keys[name])

    def problem(self, reason: str, at: yaml.Node | str | None = None) -> None:
        """Note a fault at a node, at the named field, or at the mapping itself."""
        node = self._values.get(at) if isinstance(at, str) else at
        line = node.start_mark.line + 1 if node is not None else self.line
        self._problems.append(Problem(self._file, line, reason))

    @property
    def is_mapping(self) -> bool:
        """Whether there is a mapping to read; its absence has been noted."""
        return self._is_mapping

    def has(self, name: str) -> bool:
        """Say whether the field is there."""
        self._asked.add(name)
        return name in self._values

    def text(
        self, name: str, *, default: str | None = None, pattern: re.Pattern[str] | None = None, form: str = ""
    ) -> str:
        """Read text of one line or more, without control characters. Without a default it must be there."""
        node = self._scalar(name, "str", default is None)
        if node is None:
            return default or ""
        value = str(node.value).strip()
        if not value:
            self.problem(f"{name}: is empty", node)
        elif len(value) > _MAX_TEXT:
            self.problem(f"{name}: longer than {_MAX_TEXT} characters", node)
        elif _CONTROL.search(value):
            self.problem(f"{name}: has control characters", node)
        elif pattern is not None and pattern.fullmatch(value) is None:
            self.problem(f"{name}: {value!r} is not {form}", node)
        return value

    def choice(self, name: str, allowed: Collection[str], default: str | None = None) -> str:
        """Read one word out of a vocabulary."""
        value = self.text(name, default=default)
        if value and value not in allowed:
            self.problem(f"{name}: {value!r} is not one of {', '.join(sorted(allowed))}", name)
            return next(iter(allowed))
        return value or next(iter(allowed))

    def texts(
        self,
        name: str,
        *,
        allowed: Collection[str] | None = None,
        pattern: re.Pattern[str] | None = None,
        form: str = "",
        required: bool = False,
    ) -> tuple[str, ...]:
        """Read a list of distinct words, from a vocabulary or of a form. `form` says in words which are wanted."""
        found: dict[str, None] = {}
        for node in self._sequence(name, required):
            if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + "str":
                self.problem(f"{name}: each must be text, one is {_kind(node)}", node)
            elif node.value in found:
                self.problem(f"{name}: {node.value!r} is given twice", node)
            elif allowed is not None and node.value not in allowed:
                self.problem(f"{name}: {node.value!r} is not {form or 'one of ' + ', '.join(sorted(allowed))}", node)
            elif pattern is not None and pattern.fullmatch(node.value) is None:
                self.problem(f"{name}: {node.value!r} is not {form}", node)
            else:
                found[node.value] = None
        return tuple(found)

    def integer(self, name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
        """Read a whole number written in decimal digits."""
        node = self._scalar(name, "int", default is None)
        if node is None:
            return default if default is not None else maximum
        value = int(node.value) if _INTEGER.fullmatch(node.value) else -1
        if not minimum <= value <= maximum:
            self.problem(f"{name}: must be a whole number from {minimum} to {maximum}, is {node.value}", node)
            return maximum
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Read `true` or `false`."""
        node = self._scalar(name, "bool", required=False)
        if node is None:
            return default
        if node.value not in {"true", "false"}:
            self.problem(f"{name}: must be true or false, is {node.value}", node)
        return bool(node.value == "true")

    def day(self, name: str, *, required: bool = True) -> date | None:
        """Read a date, YYYY-MM-DD."""
        node = self._scalar(name, "timestamp", required)
        if node is None:
            return None
        try:
            return date.fromisoformat(node.value)
        except ValueError:
            self.problem(f"{name}: must be a date such as 2026-07-02, is {node.value}", node)
            return None

    def section(self, name: str) -> Fields | None:
        """Read a nested mapping; None when it is not there."""
        if not self.has(name):
            return None
        return Fields(self._file, self._values[name], self._problems)

    def items(self, name: str, *, required: bool = False) -> list[Fields]:
        """Read a list of mappings."""
        return [Fields(self._file, node, self._problems) for node in self._sequence(name, required)]

    def _sequence(self, name: str, required: bool) -> Sequence[yaml.Node]:
        if not self.has(name):
            if required and self._is_mapping:
                self.problem(f"{name}: is missing")
            return ()
        node = self._values[name]
        if not isinstance(node, yaml.SequenceNode):
            self.problem(f"{name}: must be a list, is {_kind(node)}", node)
            return ()
        if required and not node.value:
            self.problem(f"{name}: is empty", node)
        nodes: Sequence[yaml.Node] = node.value
        return nodes

    def _scalar(self, name: str, kind: str, required: bool) -> yaml.ScalarNode | None:
        if not self.has(name):
            if required and self._is_mapping:
                self.problem(f"{name}: is missing")
            return None
        node = self._values[name]
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + kind:
            wanted = {"str": "text in quotes", "int": "a whole number", "timestamp": "a date such as 2026-07-02"}
            self.problem(f"{name}: must be {wanted.get(kind, 'true or false')}, is {_kind(node)}", node)
            return None
        return node


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    tag = node.tag.removeprefix(_TAG)
    return _TAG_NAMES.get(tag, "a date" if tag == "timestamp" else "something else")
