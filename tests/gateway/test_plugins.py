"""Plugins over HTTP: edge and router together, in front of a scripted provider."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from edge.settings import DocumentsSettings
from edge.testing.documents import pdf
from edge.testing.stack import Answer, EdgeStack
from gateway_support.stack import gateway
from router.testing import scripts
from router.testing.catalogs import Offer
from router.testing.scripted_provider import ScriptedProvider
from servicekit.durations import parse_duration
from servicekit.testing import BrokerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")

METADATA = {"X-OpenRouter-Metadata": "enabled"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with ScriptedProvider(scripts.speak(["Hello"])) as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(
    tmp_path_factory: pytest.TempPathFactory, broker: BrokerProcess, provider: ScriptedProvider
) -> AsyncIterator[EdgeStack]:
    folder: Path = tmp_path_factory.mktemp("plugins")
    offers = [
        Offer("plain", url=provider.url, model="acme/one", context_length=4_000),
        Offer("reader", url=provider.url, model="acme/reader", input_modalities=("text", "file")),
    ]
    async with AsyncExitStack() as stack:
        documents = DocumentsSettings(pages=3, timeout=parse_duration("15s"))
        yield await stack.enter_async_context(gateway(folder, broker.bootstrap, offers, documents=documents))


async def ask(edge: EdgeStack, *parts: dict[str, Any], **members: Any) -> Answer:
    headers = members.pop("headers", {})
    before = members.pop("before", [])
    content: Any = [{"type": "text", "text": "What does it say?"}, *parts]
    body = {"model": "acme/one", "messages": [*before, {"role": "user", "content": content}], **members}
    return await edge.call("POST", "/chat/completions", body, headers=headers)


def file(data: str, name: str = "paper.pdf") -> dict[str, Any]:
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def sent(provider: ScriptedProvider) -> Any:
    """What the provider was sent last."""
    return provider.received[-1].body["messages"][-1]["content"]


def plugin(name: str, **members: Any) -> list[dict[str, Any]]:
    return [{"id": name, **members}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_document_is_put_into_words_for_a_model_that_reads_none(
    edge: EdgeStack, provider: ScriptedProvider, stream: bool
) -> None:
    answer = await ask(edge, file(pdf("First page", "Second page")), stream=stream, headers=METADATA)
    assert answer.status == 200, answer.body
    texts = [part["text"] for part in sent(provider)]
    assert texts[1] == '<file name="paper.pdf">'
    assert "First page" in texts[2]
    assert "Second page" in texts[2]
    assert texts[3] == "</file>"
    if stream:
        noted = [event for event in answer.events[:-1] if event["choices"][0]["delta"].get("annotations")]
        (annotation,) = noted[0]["choices"][0]["delta"]["annotations"]
        metadata = answer.events[-2]["openrouter_metadata"]
    else:
        (annotation,) = answer.document["choices"][0]["message"]["annotations"]
        metadata = answer.document["openrouter_metadata"]
    assert (annotation["type"], annotation["file"]["name"]) == ("file", "paper.pdf")
    assert [part["text"] for part in annotation["file"]["content"]] == texts[1:]
    (stage,) = metadata["pipeline"]
    assert (stage["type"], stage["name"]) == ("plugin", "file-parser")
    assert stage["data"] == {"documents": 1, "read": 1, "pages": 2}


async def test_a_document_that_an_annotation_holds_is_not_read_again(
    edge: EdgeStack, provider: ScriptedProvider
) -> None:
    document = file(pdf("A page"))
    first = await ask(edge, document)
    message = first.document["choices"][0]["message"]
    message["annotations"][0]["file"]["content"][1]["text"] = "From the annotation"
    answer = await ask(edge, document, before=[{"role": "user", "content": "Hi"}, message], headers=METADATA)
    assert answer.status == 200, answer.body
    assert "From the annotation" in [part["text"] for part in sent(provider)]
    assert answer.document["openrouter_metadata"]["pipeline"][0]["data"]["read"] == 0
    assert "annotations" not in answer.document["choices"][0]["message"]


@pytest.mark.parametrize(
    ("model", "plugins", "is_read"),
    [
        ("acme/reader", None, False),
        ("acme/reader", plugin("file-parser"), False),
        ("acme/reader", plugin("file-parser", pdf={"engine": "cloudflare-ai"}), True),
        ("acme/reader", plugin("file-parser", pdf={"engine": "native"}), False),
        ("acme/reader", plugin("file-parser", enabled=False), False),
        ("acme/one", plugin("file-parser", pdf={"engine": "mistral-ocr"}), True),
    ],
)
async def test_a_model_that_reads_documents_gets_them_unless_the_caller_says_otherwise(
    edge: EdgeStack, provider: ScriptedProvider, model: str, plugins: Any, is_read: bool
) -> None:
    answer = await ask(edge, file(pdf("A page")), model=model, plugins=plugins)
    assert answer.status == 200, answer.body
    assert (sent(provider)[1]["type"] == "text") is is_read


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (
            "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7 and nothing else").decode(),
            "not a PDF that can be read",
        ),
        ("data:application/pdf;base64,***", "not valid base64"),
        (pdf("a", "b", "c", "d"), "too many pages"),
        (pdf("secret", password="open sesame"), "encrypted"),
    ],
    ids=["broken", "no base64", "long", "encrypted"],
)
async def test_a_document_that_cannot_be_read_is_named(edge: EdgeStack, data: str, complaint: str) -> None:
    answer = await ask(edge, file(data))
    assert answer.status == 400
    assert answer.error["metadata"]["param"] == "messages[0].content[1].file.file_data"
    assert complaint in answer.error["message"]


@pytest.mark.parametrize("form", ["json_object", "json_schema"])
async def test_a_broken_json_answer_is_mended_when_the_caller_wants_it(
    edge: EdgeStack, provider: ScriptedProvider, form: str
) -> None:
    schema = {"json_schema": {"name": "city", "schema": {"type": "object"}}} if form == "json_schema" else {}
    wanted = {"response_format": {"type": form, **schema}, "headers": METADATA}
    provider.script = scripts.speak(['{"city": "Berlin", "river": "Spree"'])
    try:
        answer = await ask(edge, **wanted, plugins=plugin("response-healing"))
        assert json.loads(answer.document["choices"][0]["message"]["content"]) == {"city": "Berlin", "river": "Spree"}
        (stage,) = answer.document["openrouter_metadata"]["pipeline"]
        assert stage["type"] == "response_healing"
        for plugins in (None, plugin("response-healing", enabled=False)):
            as_it_is = await ask(edge, **wanted, plugins=plugins)
            assert as_it_is.document["choices"][0]["message"]["content"] == '{"city": "Berlin", "river": "Spree"'
        text = await ask(edge, plugins=plugin("response-healing"))
        assert text.document["choices"][0]["message"]["content"] == '{"city": "Berlin", "river": "Spree"'
    finally:
        provider.script = scripts.speak(["Hello"])


async def test_a_prompt_too_long_for_a_small_context_is_cut_and_the_answer_says_so(
    edge: EdgeStack, provider: ScriptedProvider
) -> None:
    answer = await ask(edge, {"type": "text", "text": "end"}, before=_conversation(), headers=METADATA)
    assert answer.status == 200, answer.body
    (stage,) = answer.document["openrouter_metadata"]["pipeline"]
    assert (stage["type"], stage["data"]["engine"]) == ("context_compression", "middle-out")
    assert stage["data"]["tokens"] < stage["data"]["original_tokens"]
    assert len(provider.received[-1].body["messages"]) < len(_conversation()) + 1
    off = await ask(edge, before=_conversation(), plugins=plugin("context-compression", enabled=False))
    assert off.status == 400
    assert off.error["metadata"]["error_type"] == "context_length_exceeded"


def _conversation() -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"{number}: " + "word " * 300} for number in range(100)]


@pytest.mark.parametrize(
    ("plugins", "param"),
    [
        (plugin("web"), "plugins[0].id"),
        (plugin("web-fetch"), "plugins[0].id"),
        (plugin("fusion"), "plugins[0].id"),
        (plugin("moderation"), "plugins[0].id"),
        (plugin("nothing"), "plugins[0].id"),
        ([{}], "plugins[0].id"),
        (plugin("web", enabled="yes"), "plugins[0].enabled"),
        (plugin("file-parser", pdf=7), "plugins[0].pdf"),
        (plugin("file-parser", pdf={"engine": "magic"}), "plugins[0].pdf.engine"),
        (plugin("context-compression", engine="gzip"), "plugins[0].engine"),
    ],
)
async def test_a_plugin_that_is_not_offered_or_not_valid_is_named(edge: EdgeStack, plugins: Any, param: str) -> None:
    answer = await ask(edge, plugins=plugins)
    assert (answer.status, answer.error["metadata"]["param"]) == (400, param)


async def test_a_plugin_that_is_for_nobody_is_403(edge: EdgeStack) -> None:
    answer = await ask(edge, plugins=plugin("alignment"))
    assert (answer.status, answer.error["metadata"]["error_type"]) == (403, "permission_denied")


@pytest.mark.parametrize("members", [{"model": "acme/one:online"}, {"models": ["acme/one:online"]}])
async def test_a_model_name_that_asks_for_a_web_search_is_refused(edge: EdgeStack, members: dict[str, Any]) -> None:
    answer = await ask(edge, **members)
    assert (answer.status, answer.error["metadata"]["param"]) == (400, next(iter(members)))


async def test_plugins_that_are_off_or_tune_what_is_not_used_change_nothing(edge: EdgeStack) -> None:
    plugins = [*plugin("web", enabled=False), *plugin("auto-router", allowed_models=["acme/*"])]
    assert (await ask(edge, plugins=plugins)).status == 200
