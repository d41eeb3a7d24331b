"""Every route of the public API."""

from __future__ import annotations

from collections.abc import Sequence

from edge.api.chat_completions import ChatCompletions
from edge.api.credits import Credits
from edge.api.generation import GenerationRecord
from edge.api.keys import Keys
from edge.api.models import Models
from edge.api.routes import Access, Route


def public_routes(
    *, completions: ChatCompletions, models: Models, generation: GenerationRecord, keys: Keys, credits: Credits
) -> Sequence[Route]:
    """List the routes with their handlers."""
    return (
        Route("POST", "/chat/completions", Access.INFERENCE_KEY, completions.create),
        Route("GET", "/models", Access.ANYBODY, models.list),
        Route("GET", "/model/{author}/{slug}", Access.ANYBODY, models.get),
        Route("GET", "/models/{author}/{slug}/endpoints", Access.ANYBODY, models.endpoints),
        Route("GET", "/generation", Access.ANY_KEY, generation.get),
        Route("GET", "/key", Access.ANY_KEY, keys.own),
        # An older name of the same, which clients still use.
        Route("GET", "/auth/key", Access.ANY_KEY, keys.own),
        Route("GET", "/credits", Access.MANAGEMENT_KEY, credits.get),
        Route("GET", "/keys", Access.MANAGEMENT_KEY, keys.list),
        Route("POST", "/keys", Access.MANAGEMENT_KEY, keys.create),
        Route("GET", "/keys/{hash}", Access.MANAGEMENT_KEY, keys.get),
        Route("PATCH", "/keys/{hash}", Access.MANAGEMENT_KEY, keys.update),
        Route("DELETE", "/keys/{hash}", Access.MANAGEMENT_KEY, keys.delete),
    )
