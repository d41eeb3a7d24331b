"""What an operation used: the provider's counts where it gives them, what can be measured here, and estimates last."""

from __future__ import annotations

from contracts.catalog import Endpoint
from contracts.money import TokenCounts
from dialects.answers import Usage
from dialects.operations.codec import OperationRequest, inputs_of
from dialects.operations.media import wav_ms
from dialects.operations.requests import EmbeddingsBody, ImagesBody, RerankBody, SpeechBody, TranscriptionBody
from router.domain.demand import Demand
from router.domain.tokens import CountSource, Tokens
from router.domain.transcript import Transcript


def count_usage(request: OperationRequest, demand: Demand, transcript: Transcript, endpoint: Endpoint) -> Tokens:
    """Count what an operation is paid by.

    Args:
        request: what was asked.
        demand: the same as the choice has seen it, with its estimates.
        transcript: of the answer; of no answer, what a provider may have counted so far is estimated.
        endpoint: where it was asked; it says which counts are possible.
    """
    body, usage = request.body, transcript.usage
    match body:
        case EmbeddingsBody():
            # An input longer than the context is refused or cut by every provider; twice of it is a fault of the counter.
            most = max(endpoint.context_length, 1) * 2 * len(inputs_of(body))
            if usage is not None and 0 < usage.prompt <= most:
                return Tokens(TokenCounts(usage.prompt, 0), CountSource.PROVIDER)
            return Tokens(TokenCounts(demand.prompt_tokens, 0), CountSource.ESTIMATE)
        case RerankBody():
            stated = usage or Usage(prompt=0, completion=0)
            units = stated.search_units or demand.search_units
            if endpoint.price.prompt and not stated.prompt:
                return Tokens(TokenCounts(demand.prompt_tokens, 0, search_units=units), CountSource.ESTIMATE)
            counted = stated.prompt or stated.search_units
            source = CountSource.PROVIDER if counted else CountSource.MEASURED
            return Tokens(TokenCounts(stated.prompt, 0, search_units=units), source)
        case SpeechBody():
            estimated = endpoint.price.prompt > 0
            counts = TokenCounts(demand.prompt_tokens if estimated else 0, 0, characters=demand.characters)
            return Tokens(counts, CountSource.ESTIMATE if estimated else CountSource.MEASURED)
        case TranscriptionBody():
            if usage is not None:
                counts = TokenCounts(usage.prompt, usage.completion, audio_ms=usage.audio_ms)
                return Tokens(counts, CountSource.PROVIDER)
            return Tokens(TokenCounts(0, 0, audio_ms=wav_ms(request.audio) or 0), CountSource.MEASURED)
        case ImagesBody():
            if usage is not None:
                counts = TokenCounts(usage.prompt, usage.completion, cached=usage.cached, images=usage.images)
                return Tokens(counts, CountSource.PROVIDER if usage.prompt else CountSource.MEASURED)
            return Tokens(TokenCounts(0, 0), CountSource.MEASURED)
