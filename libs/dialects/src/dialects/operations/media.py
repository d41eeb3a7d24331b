"""Forms of sound and pictures, told by their first bytes and by their names."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

AUDIO_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mp3": "audio/mpeg",
        "mpeg": "audio/mpeg",
        "mpga": "audio/mpeg",
        "wav": "audio/wav",
        "flac": "audio/flac",
        "ogg": "audio/ogg",
        "oga": "audio/ogg",
        "opus": "audio/ogg",
        "m4a": "audio/mp4",
        "mp4": "audio/mp4",
        "webm": "audio/webm",
        "aac": "audio/aac",
        "pcm": "audio/pcm",
    }
)

# Least bytes of a second of speech: 8 kbit/s in MP3, and 6 kbit/s in what is packed best.
_MP3_BYTES_PER_SECOND: Final = 1_000
_LEAST_BYTES_PER_SECOND: Final = 750
_MS: Final = 1_000

_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_WAV_HEADER: Final = 12
_CHUNK_HEADER: Final = 8
_FORMAT_CHUNK: Final = 16
# Linear samples, as integers, as floats, and as the extended header names them.
_LINEAR: Final = frozenset({1, 3, 0xFFFE})
_MAX_CHUNKS: Final = 64


def picture_type(data: bytes) -> str:
    """The media type of a picture, empty when its form is not known."""
    for mark, media_type in _PICTURES:
        if data.startswith(mark):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    head = data[:256].lstrip().lower()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in data[:4096].lower()):
        return "image/svg+xml"
    return ""


def wav_ms(data: bytes) -> int | None:
    """The length of a WAV file of linear samples in milliseconds, rounded up; None for anything else."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    at, rate = _WAV_HEADER, 0
    for _ in range(_MAX_CHUNKS):
        if at + _CHUNK_HEADER > len(data):
            return None
        name, size = struct.unpack_from("<4sI", data, at)
        at += _CHUNK_HEADER
        if name == b"fmt " and size >= _FORMAT_CHUNK and at + _FORMAT_CHUNK <= len(data):
            # Decoders go by these; the byte rate that the header states beside them is of no consequence to them.
            form, _, samples, _, block = struct.unpack_from("<HHIIH", data, at)
            rate = samples * block if form in _LINEAR else 0
        elif name == b"data":
            # Streamed files say a size that they do not have; what is there counts.
            present = min(size, len(data) - at)
            return -(-present * _MS // rate) if rate else None
        at += size + size % 2
    return None


def most_audio_ms(data: bytes) -> int:
    """How long sound of this size can be, in milliseconds: what credit is set aside for. An estimate, never a bill."""
    exact = wav_ms(data)
    if exact is not None:
        return exact
    rate = _MP3_BYTES_PER_SECOND if data[:3] == b"ID3" or data[:1] == b"\xff" else _LEAST_BYTES_PER_SECOND
    return len(data) * _MS // rate
