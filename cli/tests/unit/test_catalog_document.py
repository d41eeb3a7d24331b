from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from turnpike_cli.catalog_document import DocumentError, read_document, write_document

SHIPPED = sorted((Path(__file__).parents[3] / "catalog").rglob("*.yaml"))
TEXT = """\
# Of the file.
providers:
  # Of acme.
  - slug: acme # beside it
    name: Acme
    base_url: https://api.acme.example
    # Of a policy.
    data_policy: {trains_on_prompts: false, retains_prompts: true} # read in May

  - slug: bolt
    name: "Bolt: the other"
    base_url: https://bolt.example/v1
    headquarters: "NO"

models:
  - id: maker/thing
    created: 2026-01-01
    input_modalities: [text, image] # and more
    endpoints:
      # Of an endpoint.
      - provider: acme
        price:
          # Of a price.
          prompt: "0.000001"
          overrides:
            - {min_prompt_tokens: 200000, prompt: "0.000002"} # long
        context_length: 1000
# The end.
"""


def test_the_stable_form_is_written_as_it_was_read() -> None:
    assert write_document(read_document(TEXT)) == TEXT


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_shipped_files_are_in_the_stable_form(path: Path) -> None:
    assert write_document(read_document(path.read_text())) == path.read_text()


def test_comments_stay_with_what_they_belong_to() -> None:
    document = read_document(TEXT)
    document.items("providers")[0]["status_page_url"] = "https://status.acme.example"
    document.content["providers"] = [*document.items("providers")[::-1]]
    lines = write_document(document).splitlines()
    assert lines[lines.index("  - slug: acme # beside it") - 1] == "  # Of acme."
    assert lines[1] == "providers:"
    assert lines[2] == "  - slug: bolt"
    assert "    # Of a policy." in lines
    assert lines[-1] == "# The end."


def test_another_form_becomes_the_stable_one() -> None:
    loose = """\
models:
- {created: 2026-01-01, id: maker/thing, odd: 1}
-   endpoints:
      -   price: {completion: '0.1', prompt: "0.2"}
          # Which provider.
          provider: acme
    description: |
      Two lines
      # that is no comment
    id: "maker/other"
"""
    text = write_document(read_document(loose))
    assert text == write_document(read_document(text))
    assert read_document(text).content == read_document(loose).content
    assert '    description: "Two lines\\n# that is no comment\\n"' in text.splitlines()
    assert text.index("id: maker/other") < text.index("description") < text.index("endpoints")
    assert text.index('prompt: "0.2"') < text.index('completion: "0.1"')
    assert "# Which provider." in text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain words, with a comma", "plain words, with a comma"),
        ("0.1", '"0.1"'),
        ("NO", '"NO"'),
        ("2026-01-01", '"2026-01-01"'),
        (date(2026, 1, 1), "2026-01-01"),
        ("01:00", '"01:00"'),
        ("1e3", '"1e3"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("- a", '"- a"'),
        ("", '""'),
        (' "quoted" ', '" \\"quoted\\" "'),
        ("ça", "ça"),
        (["a, b", "~x/y"], '["a, b", ~x/y]'),
        ({"a": True, "b": 3}, "{a: true, b: 3}"),
        ([], "[]"),
    ],
)
def test_a_value_reads_back_as_itself(value: str | date | list[str], written: str) -> None:
    document = read_document("")
    document.content["data_policy"] = value  # type: ignore[assignment]  # any value will do
    assert write_document(document) == f"data_policy: {written}\n"
    assert read_document(write_document(document)).content == {"data_policy": value}


@pytest.mark.parametrize("text", ["a: [", "- 1", "5", "a: 2026-13-01", "a: b: c", "--- {}\n--- {}\n"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        read_document(text)
