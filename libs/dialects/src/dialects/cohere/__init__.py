"""The dialect of Cohere's chat API, version 2."""

from __future__ import annotations

from dialects.cohere.dialect import Cohere, CohereStream

__all__ = ["Cohere", "CohereStream"]
