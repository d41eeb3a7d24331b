"""Operations as OpenAI defined them (rerankings: as Jina did), and as many servers speak them."""

from dialects.openai_compatible.operations.registry import operation_request

__all__ = ["operation_request"]
