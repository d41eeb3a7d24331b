"""The dialects by the names that catalogues use. A dialect's code is imported when it is first asked for."""

from __future__ import annotations

from functools import cache

from dialects.upstream import UpstreamDialect


@cache
def dialect_named(name: str) -> UpstreamDialect:
    """Give a dialect.

    Args:
        name: the word of `contracts.catalog.Dialect`.

    Raises:
        ValueError: there is none of this name.
    """
    match name:
        case "openai-compatible":
            from dialects.openai_compatible import OpenAICompatible

            return OpenAICompatible()
        case "azure-openai":
            from dialects.azure_openai import AzureOpenAI

            return AzureOpenAI()
        case "cohere":
            from dialects.cohere import Cohere

            return Cohere()
        case "gemini":
            from dialects.gemini import Gemini

            return Gemini()
        case "ollama":
            from dialects.ollama import Ollama

            return Ollama()
        case "anthropic":
            from dialects.anthropic import Anthropic

            return Anthropic()
        case "bedrock":
            from dialects.bedrock import Bedrock

            return Bedrock()
        case _:
            raise ValueError(f"there is no dialect {name!r}")
