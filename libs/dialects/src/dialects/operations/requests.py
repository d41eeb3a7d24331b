"""Requests for operations, typed and validated, in the words of the public API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dialects.chat import AudioPart, FilePart, ImagePart, LegacyVideoPart, ProviderPreferences, TextPart, VideoPart

MAX_INPUTS = 2_048
MAX_DOCUMENTS = 10_000
MAX_SPOKEN_CHARACTERS = 100_000
MAX_REFERENCE_TEXT = 10_000
MAX_REFERENCE_AUDIO = 20_971_520

_Slug = Annotated[str, Meta(min_length=1, max_length=256)]
_Word = Annotated[str, Meta(min_length=1, max_length=128)]
_Token = Annotated[int, Meta(ge=0, lt=2**31)]


class InputFile(Struct, frozen=True, tag_field="type", tag="input_file"):
    """A file, as embeddings name it."""

    input_file: dict[str, Any]


class EmbeddingContent(Struct, frozen=True):
    """One input made of parts."""

    content: Annotated[
        list[TextPart | ImagePart | AudioPart | VideoPart | LegacyVideoPart | FilePart | InputFile],
        Meta(min_length=1, max_length=256),
    ]


class EmbeddingsBody(Struct, frozen=True, kw_only=True):
    """`POST /embeddings`. `input` is a text, tokens of one text, or a list of texts, token lists or contents."""

    model: _Slug
    input: str | list[str | int | list[_Token] | EmbeddingContent]
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    input_type: _Word | None = None
    provider: ProviderPreferences | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None


class RichDocument(Struct, frozen=True):
    """A document with a picture."""

    text: str | None = None
    image: str | None = None


class RerankBody(Struct, frozen=True, kw_only=True):
    """`POST /rerank`."""

    model: _Slug
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str | RichDocument], Meta(min_length=1, max_length=MAX_DOCUMENTS)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    provider: ProviderPreferences | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None


class ReferenceAudio(Struct, frozen=True):
    """Sound to take the voice of, in base64."""

    data: Annotated[str, Meta(min_length=1, max_length=MAX_REFERENCE_AUDIO)]
    format: _Word


class VoiceReference(Struct, frozen=True, tag_field="type", tag="input_audio"):
    """A recording of a voice."""

    input_audio: ReferenceAudio


class VoiceText(Struct, frozen=True, tag_field="type", tag="text"):
    """What a recording says."""

    text: Annotated[str, Meta(max_length=MAX_REFERENCE_TEXT)]


SpeechFormat = Literal["mp3", "pcm", "opus", "aac", "flac", "wav"]


class SpeechBody(Struct, frozen=True, kw_only=True):
    """`POST /audio/speech`. The formats beyond `mp3` and `pcm` are OpenAI's."""

    model: _Slug
    input: Annotated[str, Meta(min_length=1, max_length=MAX_SPOKEN_CHARACTERS)]
    voice: _Word | None = None
    response_format: SpeechFormat | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] | None = None
    input_references: Annotated[list[VoiceReference | VoiceText], Meta(max_length=16)] | None = None
    provider: ProviderPreferences | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None

    @property
    def audio_format(self) -> str:
        """The form of the sound that is wanted."""
        return self.response_format or "pcm"


class TranscriptionBody(Struct, frozen=True, kw_only=True):
    """`POST /audio/transcriptions`, without the sound, which goes beside it."""

    model: _Slug
    language: _Word | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    response_format: Literal["json", "verbose_json"] | None = None
    timestamp_granularities: Annotated[list[Literal["word", "segment"]], Meta(max_length=2)] | None = None
    provider: ProviderPreferences | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None
    audio_format: _Word = "wav"
    """How the caller names the form of the sound, such as `wav`."""


class ImagesBody(Struct, frozen=True, kw_only=True):
    """`POST /images`."""

    model: _Slug
    prompt: Annotated[str, Meta(min_length=1, max_length=100_000)]
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: Annotated[str, Meta(pattern=r"^(auto|512|1K|2K|4K|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$")] | None = None
    resolution: Literal["512", "1K", "2K", "4K"] | None = None
    aspect_ratio: (
        Literal[
            "1:1", "1:2", "1:4", "1:8", "2:1", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1", "9:16", "16:9",
            "9:19.5", "19.5:9", "9:20", "20:9", "9:21", "21:9", "auto",
        ]
        | None
    ) = None  # fmt: skip
    quality: Literal["auto", "low", "medium", "high"] | None = None
    background: Literal["auto", "transparent", "opaque"] | None = None
    output_format: Literal["png", "jpeg", "webp", "svg"] | None = None
    output_compression: Annotated[int, Meta(ge=0, le=100)] | None = None
    input_references: Annotated[list[ImagePart], Meta(max_length=16)] | None = None
    seed: int | None = None
    stream: bool | None = None
    provider: ProviderPreferences | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None

    @property
    def most_images(self) -> int:
        """How many pictures there may be."""
        return self.n or 1


OperationBody = EmbeddingsBody | RerankBody | SpeechBody | TranscriptionBody | ImagesBody
