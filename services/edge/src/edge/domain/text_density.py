"""How many tokens a text has at most, by what kinds of characters it has: cheap, and not below what is billed.

A fixed number of characters a token is wrong by a factor of four: prose has some four, JSON two, base64 and hashes one and a half, and
many scripts less than one. The weights are such that the estimate is not below OpenAI's vocabularies (the tests compare both of
them over prose, code, data and many scripts); for English prose it is some 40 % above.
"""

from __future__ import annotations

from typing import Final

# Letters and blanks that make up words.
_WORDS: Final = bytes([*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1), ord(" ")])
_NOT_ASCII: Final = bytes(range(128, 256))
_BLANKS: Final = b" \t\n\r"
# No word is so long: hashes, base64, addresses, data without blanks.
_LONG: Final = 20
# Where words are shorter than that on average, too little is in long runs to outweigh what prose is overestimated by.
_PROSE: Final = 7
# Looking for long runs is the dearest part, some 5 ns a byte, so of long text only pieces are looked at.
_MOST_SEARCHED: Final = 256 * 1_024
_PIECES: Final = 16

# Tokens a byte, in 140ths: two sevenths of a word's letters, nine tenths of digits and signs, three quarters of everything else.
_SCALE: Final = 140
_WORD, _SIGN, _LONG_RUN, _OTHER = 40, 126, 105, 105


def most_text_tokens(text: str) -> int:
    """Estimate from above how many tokens a text has."""
    data = text.encode(errors="replace")
    plain = data if text.isascii() else data.translate(None, _NOT_ASCII)
    other = len(data) - len(plain)
    signs = len(plain.translate(None, _WORDS))
    long, long_signs = _long_runs(plain)
    words = len(plain) - signs - (long - long_signs)
    weighed = words * _WORD + (signs - long_signs) * _SIGN + long * _LONG_RUN + other * _OTHER
    return -(-weighed // _SCALE)


def _long_runs(plain: bytes) -> tuple[int, int]:
    """How many bytes are in runs without a blank, and how many of these are no letters."""
    blanks = len(plain) - len(plain.translate(None, _BLANKS))
    if blanks * _PROSE > len(plain):
        return 0, 0
    if len(plain) <= _MOST_SEARCHED:
        return _search(plain)
    size, step = _MOST_SEARCHED // _PIECES, len(plain) // _PIECES
    found = [_search(plain[at * step : at * step + size]) for at in range(_PIECES)]
    looked_at = size * _PIECES
    long = sum(each[0] for each in found) * len(plain) // looked_at
    return long, sum(each[1] for each in found) * len(plain) // looked_at


def _search(plain: bytes) -> tuple[int, int]:
    runs = b"".join([run for run in plain.split() if len(run) >= _LONG])
    return len(runs), len(runs.translate(None, _WORDS))
