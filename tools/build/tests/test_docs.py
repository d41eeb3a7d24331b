"""The pages for people say what is there: links lead somewhere, tables name what the code has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from contracts import topics
from contracts.topic_layout import IN_SYNC_REPLICAS, LAYOUTS, REPLICAS

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
# Words with a dot that are neither metrics nor events: members of a body, attributes, topics by their short names.
NOT_SIGNALS = {
    "chat.completion.chunk",
    "error.type",
    "gen_ai.provider.name",
    "incomplete_details.reason",
    "metadata.param",
    "metadata.provider_name",
    "provider.hedge",
    "provider.require_parameters",
    "provider.sort",
    "provider.strategy",
    "reasoning.encrypted_content",
    "response.completed",
    "response.created",
    "response.failed",
    "text.format",
    "text.verbosity",
    "usage.include",
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).exists()]


def prose(path: Path) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The names by which headings can be linked to."""
    titles = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link or "NNNN" in link:
            continue
        target, _, anchor = link.partition("#")
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), link
        assert not anchor or anchor in anchors(found), link


@pytest.mark.parametrize("folder", [DOCS, DOCS / "decisions"], ids=lambda path: path.name)
def test_index_lists_every_page(folder: Path) -> None:
    linked = set(LINK.findall((folder / "index.md").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(folder)) for path in folder.rglob("*.md")} - {"index.md"}
    if folder is DOCS:  # its decisions have an index of their own
        pages = {name for name in pages if not name.startswith("decisions/")}
    assert pages <= linked


def test_every_decision_has_the_parts_of_the_template() -> None:
    for path in (DOCS / "decisions").glob("[0-9]*.md"):
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {int(path.name[:4])}\. \S", text), path.name
        assert re.search(r"^Status: (accepted|replaced by \[\d+\])", text, re.MULTILINE), path.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], path.name


def test_every_topic_is_described() -> None:
    text = (DOCS / "kafka-topics.md").read_text(encoding="utf-8")
    for topic in topics.ALL:
        kind = "compacted" if topic.compacted else "log"
        flow = f"{topic.writer} → {', '.join(topic.readers)}"
        row = f"| `{topic.name}` | {topic.key} | `{topic.message_type.DESCRIPTOR.full_name}` | {kind} | {flow} |"
        assert row in text
        assert f"`{topic.event_type}`" in text


def test_topics_are_created_as_they_are_laid_out() -> None:
    text = (DOCS / "kafka-topics.md").read_text(encoding="utf-8")
    every_topic = f"--replication-factor {REPLICAS} --config min.insync.replicas={IN_SYNC_REPLICAS}"
    assert every_topic in text
    commands = [
        f"create --topic {layout.name} --partitions {layout.partitions}"
        + "".join(f" --config {name}={value}" for name, value in layout.kept.items())
        for layout in LAYOUTS
    ]
    assert re.findall(r"^create --topic .*$", text, re.MULTILINE) == commands


def test_every_route_is_described() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    sources = sorted((ROOT / "services" / "edge" / "src" / "edge" / "api").rglob("*.py"))
    found = (re.findall(r'Route\(\s*"([A-Z]+)",\s*"([^"]+)"', each.read_text(encoding="utf-8")) for each in sources)
    routes = [route for of_module in found for route in of_module]
    assert ("POST", "/chat/completions") in routes
    assert [f"{method} {path}" for method, path in routes if f"`{method} {path}`" not in text] == []


def test_runbooks_name_settings_and_signals_that_exist() -> None:
    settings = (DOCS / "configuration.md").read_text(encoding="utf-8")
    signals = (DOCS / "telemetry.md").read_text(encoding="utf-8")
    for page in (*(DOCS / "runbooks").glob("*.md"), DOCS / "deploy.md", DOCS / "api.md"):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:EDGE|ROUTER|HEALTH_PROBER|METERING|ACCOUNTS)_[A-Z_]+[A-Z])`", text):
            shared = re.sub(r"^(EDGE|ROUTER|HEALTH_PROBER|METERING|ACCOUNTS)_", "<SERVICE>_", name)
            assert f"`{name}`" in settings or f"`{shared}`" in settings, (page.name, name)
        for name in re.findall(r"`([a-z_]+\.[a-z_]+(?:\.[a-z_]+)*)`", text):
            known = f"`{name}`" in signals or name in NOT_SIGNALS
            assert known, (page.name, name)
