"""Operations against the simulator as a process, with every fault that it has for an answer in one piece."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from dialects.operations.media import wav_ms
from dialects.operations.products import Embeddings, Images, Ranking, Speech, Transcription
from dialects.operations.requests import (
    EmbeddingsBody,
    ImagesBody,
    OperationBody,
    RerankBody,
    SpeechBody,
    TranscriptionBody,
)
from router.domain.attempts import FailureKind
from router.domain.settlement import Status
from router.testing.catalogs import Offer
from router.testing.operation_cases import CASES, MODEL, doubled
from router.testing.workbench import IMPATIENCE, PATIENCE, OpenWorkbench

pytestmark = pytest.mark.asyncio(loop_scope="module")

BAD = FailureKind.BAD_ANSWER
FAULTS = {
    "error-500": FailureKind.SERVER_ERROR,
    "error-503": FailureKind.OVERLOADED,
    "error-429": FailureKind.RATE_LIMITED,
    "reset": FailureKind.CONNECT,
    "html-200": BAD,
    "empty": BAD,
    "empty-body": BAD,
    "error-after-200": FailureKind.SERVER_ERROR,
    "truncated": BAD,
    "cut": BAD,
    "wrong-content-length": BAD,
    "malformed-event": BAD,
    "wrong-count": BAD,
    "stall-before": FailureKind.TIMEOUT,
    "stall-within": FailureKind.TIMEOUT,
}
# Half a sound is one too, and nothing in a transcription or a sound can be one too many.
HARMLESS = {
    ("speech", "truncated"), ("speech", "malformed-event"), ("speech", "wrong-count"), ("transcription", "wrong-count"),
}  # fmt: skip
BODIES: dict[str, OperationBody] = {
    "embeddings": EmbeddingsBody(model=MODEL, input=["one", "two words"]),
    "rerank": RerankBody(model=MODEL, query="two words", documents=["one", "two", "two words"], top_n=2),
    "speech": SpeechBody(model=MODEL, input="three words here", response_format="wav"),
    "transcription": TranscriptionBody(model=MODEL),
    "images": ImagesBody(model=MODEL, prompt="A cat", n=2),
}
SOUND = bytes(44) + bytes(16_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[str]:
    """The address of a simulator."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sim", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    yield line.removeprefix("sim: listening on ").strip()
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0


def offers(name: str, url: str, fault: str) -> list[Offer]:
    case = CASES[name]
    upstream = f"sim-lorem?fault={fault}&stall_ms=30000" if fault else "sim-lorem"
    return [
        Offer(
            slug,
            url=url,
            prompt=f"0.00000{number}",
            completion="0",
            upstream_model=model,
            prices=doubled(case.prices, number),
            output_modalities=(case.writes,),
            parameters=("n", "encoding_format", "response_format"),
        )
        for number, (slug, model) in enumerate((("a", upstream), ("b", "sim-lorem")), start=1)
    ]


@pytest.mark.parametrize("name", list(BODIES))
async def test_the_simulator_answers_every_operation(simulator: str, workbench: OpenWorkbench, name: str) -> None:
    async with workbench(*offers(name, simulator, "")) as router:
        product = (await router.invoke(BODIES[name], SOUND)).product
        match product:
            case Embeddings():
                assert [len(vector) for vector in product.vectors] == [32, 32]
            case Ranking():
                assert [document.index for document in product.documents] == [2, 1]
            case Speech():
                assert wav_ms(product.audio) == 1_000
            case Transcription():
                assert product.text == "[simulated] word word word"
            case Images():
                assert [image.media_type for image in product.images] == ["image/png"] * 2
            case None:
                raise AssertionError("nothing came of it")
        record = router.only_record()
        assert record.answered is not None
        assert record.answered.cost.total > 0


@pytest.mark.parametrize("name", list(BODIES))
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.startswith("stall")])
async def test_r6_a_simulated_fault_is_never_seen(
    simulator: str, workbench: OpenWorkbench, name: str, fault: str
) -> None:
    async with workbench(*offers(name, simulator, fault)) as router:
        progress = await router.invoke(BODIES[name], SOUND)
        assert isinstance(progress.product, CASES[name].product)
        record = router.only_record()
        assert record.status is Status.COMPLETED
        expected = [None] if (name, fault) in HARMLESS else [FAULTS[fault], None]
        assert [attempt.failure for attempt in record.attempts] == expected


async def test_r6_a_simulated_silence_ends_at_its_limit(simulator: str, workbench: OpenWorkbench) -> None:
    async def at(name: str, fault: str) -> None:
        async with workbench(*offers(name, simulator, fault), patience=IMPATIENCE) as router:
            progress = await router.invoke(BODIES[name], SOUND)
            assert isinstance(progress.product, CASES[name].product)
            assert router.only_record().attempts[0].failure is FailureKind.TIMEOUT

    async with asyncio.TaskGroup() as tasks:
        for name in BODIES:
            for fault in ("stall-before", "stall-within"):
                tasks.create_task(at(name, fault))


async def test_a_refused_connection_is_never_seen(simulator: str, workbench: OpenWorkbench) -> None:
    for name, body in BODIES.items():
        first, second = offers(name, simulator, "")
        async with workbench(
            Offer(**{**first.__dict__, "url": "http://127.0.0.1:9/v1"}), second, patience=PATIENCE
        ) as router:
            await router.invoke(body, SOUND)
            assert [attempt.failure for attempt in router.only_record().attempts] == [FailureKind.CONNECT, None]
