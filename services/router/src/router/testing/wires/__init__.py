"""Every dialect from a provider's side: good answers, and the pieces that bad ones are made of."""

from __future__ import annotations

from router.testing.wires.anthropic_wire import AnthropicWire
from router.testing.wires.bedrock_wire import BedrockWire
from router.testing.wires.cohere_wire import CohereWire
from router.testing.wires.gemini_wire import GeminiWire
from router.testing.wires.ollama_wire import OllamaWire
from router.testing.wires.openai_wire import AzureWire, OpenAIWire
from router.testing.wires.said import Call, Counts, Parts, Said
from router.testing.wires.wire import Wire

WIRES: dict[str, Wire] = {
    wire.dialect: wire
    for wire in (OpenAIWire(), AnthropicWire(), BedrockWire(), GeminiWire(), CohereWire(), OllamaWire(), AzureWire())
}

__all__ = ["WIRES", "Call", "Counts", "Parts", "Said", "Wire"]
