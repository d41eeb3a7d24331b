"""The dialect of an Azure resource: chat completions at other paths, with content filters and errors of its own."""

from __future__ import annotations

from dialects.azure_openai.dialect import API_VERSION, AzureOpenAI

__all__ = ["API_VERSION", "AzureOpenAI"]
