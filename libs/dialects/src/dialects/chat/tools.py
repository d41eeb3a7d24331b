"""Tools, the choice among them, and the form of the answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dialects.chat.content import MAX_NAME_LENGTH

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]


class FunctionDefinition(Struct, frozen=True):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True):
    """A function tool, or a server tool such as `openrouter:web_search`."""

    type: Annotated[str, Meta(min_length=1)]
    function: FunctionDefinition | None = None

    def __post_init__(self) -> None:
        """A function tool says its function."""
        if self.type == "function" and self.function is None:
            raise ValueError("Object missing required field `function`")


class FunctionName(Struct, frozen=True):
    """The name of a function."""

    name: Name


class NamedToolChoice(Struct, frozen=True):
    """A function by name, or a server tool by its type."""

    type: Annotated[str, Meta(min_length=1)]
    function: FunctionName | None = None

    def __post_init__(self) -> None:
        """The choice of a function names it."""
        if self.type == "function" and self.function is None:
            raise ValueError("Object missing required field `function`")


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice


class TextFormat(Struct, frozen=True, tag_field="type", tag="text"):
    """Plain text."""


class JsonObjectFormat(Struct, frozen=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchema(Struct, frozen=True):
    """A JSON Schema with a name."""

    name: Name
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class JsonSchemaFormat(Struct, frozen=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    json_schema: JsonSchema


class GrammarFormat(Struct, frozen=True, tag_field="type", tag="grammar"):
    """Text that follows a grammar."""

    grammar: str


class PythonFormat(Struct, frozen=True, tag_field="type", tag="python"):
    """Python source."""


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat | GrammarFormat | PythonFormat
