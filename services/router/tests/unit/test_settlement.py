"""Tokens, charges and what is owed."""

from __future__ import annotations

from contracts.catalog import Endpoint
from contracts.ids import EndpointId
from dialects.answers import Answer, ChoiceDelta, FinishReason, ToolCallPiece, Usage
from dialects.tokenizers import O200K, TextCount, load_tokenizer
from router.domain.settlement import NO_COST, Status, charge, count_tokens, owed
from router.domain.tokens import CountSource
from router.domain.transcript import Transcript
from router.testing.catalogs import Offer, catalog_of


def endpoint(context_length: int = 1000) -> Endpoint:
    catalog = catalog_of(Offer("a", prompt="0.000001", completion="0.000002", context_length=context_length))
    return catalog.endpoints[EndpointId("acme/one@a")]


def transcript(*deltas: ChoiceDelta, usage: Usage | None = None) -> Transcript:
    result = Transcript()
    result.add(Answer(choices=deltas, usage=usage))
    return result


TEXT = ChoiceDelta(0, content="x" * 40, reasoning="y" * 20)
END = ChoiceDelta(0, finish_reason=FinishReason.STOP)


def test_the_providers_counts_are_taken_when_they_are_possible() -> None:
    tokens = count_tokens(transcript(TEXT, END, usage=Usage(10, 5, 2, 4, 1)), 99, endpoint())
    assert tokens.source is CountSource.PROVIDER
    assert (tokens.counts.prompt, tokens.counts.completion, tokens.counts.reasoning) == (10, 5, 2)
    # 5 plain, 4 cached and 1 written at a micro-dollar, 3 plain and 2 reasoning at two.
    assert charge(Status.COMPLETED, tokens, endpoint().price, FinishReason.STOP).total == 20_000


def test_missing_or_impossible_counts_are_estimated() -> None:
    for usage in (None, Usage(10, 0), Usage(10, 900_000)):
        tokens = count_tokens(transcript(TEXT, END, usage=usage), 99, endpoint())
        assert tokens.source is CountSource.ESTIMATE
        assert (tokens.counts.prompt, tokens.counts.completion, tokens.counts.reasoning) == (99, 15, 5)


def test_tool_calls_and_other_alphabets_count_by_their_bytes() -> None:
    call = ChoiceDelta(0, tool_calls=(ToolCallPiece(0, "id", "function", "look", "x" * 36),))
    assert count_tokens(transcript(call), 0, endpoint()).counts.completion == 10
    assert count_tokens(transcript(ChoiceDelta(0, content="日本語語")), 0, endpoint()).counts.completion == 3


def test_b_a_failure_costs_the_caller_nothing_and_is_owed_only_when_counted() -> None:
    counted = count_tokens(transcript(TEXT, usage=Usage(10, 5)), 99, endpoint())
    guessed = count_tokens(transcript(TEXT), 99, endpoint())
    assert charge(Status.FAILED, counted, endpoint().price, None) == NO_COST
    assert owed(Status.FAILED, counted, endpoint().price) == 20_000
    assert owed(Status.FAILED, guessed, endpoint().price) == 0


def test_nothing_generated_is_free_and_a_part_is_billed() -> None:
    nothing = count_tokens(Transcript(), 50, endpoint())
    assert charge(Status.CANCELLED, nothing, endpoint().price, None) == NO_COST
    part = count_tokens(transcript(TEXT), 50, endpoint())
    assert charge(Status.CANCELLED, part, endpoint().price, None).total == 50 * 1000 + 15 * 2000


def test_whole_cut_and_empty_answers_are_told_apart() -> None:
    assert transcript(TEXT, END).is_whole
    assert not transcript(TEXT).is_whole
    assert not Transcript().is_whole
    two = (TEXT, ChoiceDelta(1, content="b"), END)
    assert not transcript(*two).is_whole
    assert transcript(*two, ChoiceDelta(1, finish_reason=FinishReason.LENGTH)).is_whole
    assert transcript(END).is_empty
    assert transcript(END, usage=Usage(3, 0)).is_empty
    assert not transcript(END, usage=Usage(3, 1)).is_empty
    assert not transcript(ChoiceDelta(0, finish_reason=FinishReason.CONTENT_FILTER)).is_empty
    assert not transcript(TEXT, END).is_empty


def test_what_the_provider_has_not_counted_is_counted_by_the_models_tokenizer() -> None:
    tokenizer = load_tokenizer(O200K)
    kept = Transcript(keeps_text=True)
    kept.add(
        Answer(
            choices=(ChoiceDelta(0, content="hello", reasoning="The quick brown fox"), ChoiceDelta(0, content=" world"))
        )
    )
    tokens = count_tokens(kept, 99, endpoint(), tokenizer, lambda _: TextCount(7, exact=True))
    assert tokens.source is CountSource.TOKENIZER
    assert (tokens.counts.prompt, tokens.counts.completion, tokens.counts.reasoning) == (7, 6, 4)
    partly = count_tokens(kept, 99, endpoint(), tokenizer, lambda _: TextCount(7, exact=False))
    assert partly.source is CountSource.ESTIMATE
    # The provider's own count wins, and a failure that it has not counted is owed by nobody.
    kept.add(Answer(usage=Usage(3, 2)))
    assert (
        count_tokens(kept, 99, endpoint(), tokenizer, lambda _: TextCount(7, exact=True)).source is CountSource.PROVIDER
    )
    assert owed(Status.FAILED, tokens, endpoint().price) == 0


def test_of_a_very_long_answer_a_part_is_kept() -> None:
    tokenizer = load_tokenizer(O200K)
    kept = Transcript(keeps_text=True)
    for _ in range(400):
        kept.add(Answer(choices=(ChoiceDelta(0, content="Every token counts, and each has its price. " * 20),)))
    everything, _ = kept.count(tokenizer)
    assert not everything.exact
    exact = tokenizer.count("Every token counts, and each has its price. " * 20) * 400
    assert abs(everything.tokens - exact) < exact // 50


def test_text_is_not_kept_where_there_is_no_tokenizer() -> None:
    forgotten = transcript(TEXT)
    everything, reasoning = forgotten.count(load_tokenizer(O200K))
    assert (everything.tokens, everything.exact) == (15, False)
    assert reasoning.tokens == 5
