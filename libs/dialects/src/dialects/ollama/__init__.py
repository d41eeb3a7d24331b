"""The dialect of Ollama's own chat API."""

from __future__ import annotations

from dialects.ollama.dialect import Ollama, OllamaStream

__all__ = ["Ollama", "OllamaStream"]
