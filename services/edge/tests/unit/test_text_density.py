"""The estimate that credit is set aside by, against the vocabularies that are billed by."""

from __future__ import annotations

import base64
import json
import string
from pathlib import Path
from random import Random

import pytest

from dialects.tokenizers import CL100K, O200K, load_tokenizer
from edge.domain.text_density import most_text_tokens

RANDOM = Random(7)
BYTES = bytes(RANDOM.randrange(256) for _ in range(4_000))
ROOT = Path(__file__).resolve().parents[4]
TEXTS = {
    "English": "The estimate of a prompt has to cover what the provider will count, whatever the prompt is made of. "
    * 20,
    "German": "Die Geschwindigkeitsbegrenzung auf Autobahnen wird häufig diskutiert, weil viele sehr schnell fahren. "
    * 20,
    "Finnish": "Hyvää huomenta, tänään on kaunis ilma ja lähdemme yhdessä kävelylle puistoon. " * 20,
    "Russian": "Привет, сегодня хорошая погода, давайте погуляем в парке. " * 20,
    "Arabic": "مرحبا، الطقس جميل اليوم، دعنا نذهب إلى الحديقة. " * 20,
    "Hindi": "नमस्ते, आज मौसम अच्छा है, चलो पार्क चलते हैं। " * 20,
    "Thai": "สวัสดี วันนี้อากาศดี ไปเดินเล่นที่สวนกันเถอะ " * 20,
    "Chinese": "你好,今天天气很好,我们一起去公园散步吧。人工智能正在改变世界。" * 20,
    "Japanese": "お誕生日おめでとうございます。東京は日本の首都です。" * 20,
    "Korean": "안녕하세요 오늘 날씨가 좋네요 우리 공원에 갑시다 " * 20,
    "emoji": "😀🎉🚀👩‍👩‍👧🏳️‍🌈" * 100,
    "Markdown": (ROOT / "docs" / "api.md").read_text(encoding="utf-8"),
    "Python": Path(__file__).read_text(encoding="utf-8"),
    "YAML": (ROOT / "catalog" / "models" / "openai.yaml").read_text(encoding="utf-8")[:30_000],
    "JSON": json.dumps([{"id": n, "name": f"user{n}", "tags": ["a", "b"], "score": n / 7} for n in range(200)]),
    "JSON without blanks": json.dumps([{"id": n, "on": True} for n in range(300)], separators=(",", ":")),
    "numbers": " ".join(str(RANDOM.randrange(10**6)) for _ in range(1_000)),
    "digits": "".join(RANDOM.choice(string.digits) for _ in range(4_000)),
    "identifiers": " ".join(f"{RANDOM.getrandbits(32):08x}-{RANDOM.getrandbits(16):04x}" for _ in range(300)),
    "base64": base64.b64encode(BYTES).decode(),
    "hexadecimal": BYTES.hex(),
    "signs": "".join(RANDOM.choice(string.punctuation) for _ in range(4_000)),
    "random letters": "".join(RANDOM.choice(string.ascii_letters) for _ in range(4_000)),
    "a blob within prose": "The estimate of a prompt has to cover what the provider counts. " * 60 + BYTES.hex() * 2,
    "blanks": "\n \t" * 1_000,
}


@pytest.mark.parametrize("encoding", [O200K, CL100K])
@pytest.mark.parametrize("kind", TEXTS)
def test_the_estimate_is_not_below_the_count(kind: str, encoding: str) -> None:
    text = TEXTS[kind]
    assert load_tokenizer(encoding).count(text) <= most_text_tokens(text) <= len(text.encode())


def test_prose_is_not_held_for_much_more_than_it_costs() -> None:
    text = TEXTS["English"]
    assert most_text_tokens(text) < 2 * load_tokenizer(O200K).count(text)


def test_of_long_text_the_pieces_stand_for_the_whole() -> None:
    for kind in ("base64", "English"):
        text = TEXTS[kind] * 500
        assert abs(most_text_tokens(text) - 500 * most_text_tokens(TEXTS[kind])) < most_text_tokens(text) // 20


def test_nothing_is_nothing_and_what_is_no_text_still_counts() -> None:
    assert most_text_tokens("") == 0
    assert most_text_tokens("\ud800") > 0
