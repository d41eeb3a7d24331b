"""What the catalogue and models.dev call the same things: providers, authors, models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from turnpike_cli.catalog_document import Value, mappings


@dataclass(frozen=True, slots=True)
class Source:
    """A provider of models.dev that describes a provider of the catalogue, and which of its models are meant."""

    id: str
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def takes(self, key: str) -> bool:
        """Whether the model with this key is meant."""
        return any(fnmatchcase(key, glob) for glob in self.include) and not any(
            fnmatchcase(key, glob) for glob in self.exclude
        )


# Providers that models.dev calls otherwise, or describes together with what speaks another dialect.
_SOURCES: Final[Mapping[str, Source]] = {
    "amazon-bedrock": Source("amazon-bedrock", exclude=("eu.*", "au.*", "jp.*", "global.*", "anthropic.*", "openai.gpt-5*", "xai.*")),
    "amazon-bedrock-eu": Source("amazon-bedrock", include=("eu.*",)),
    "azure": Source("azure", exclude=("claude-*",)),
    "azure-anthropic": Source("azure", include=("claude-*",)),
    "fireworks": Source("fireworks-ai", exclude=("accounts/fireworks/routers/*",)),
    "google-ai-studio": Source("google", exclude=("gemma-*",)),
    "google-vertex": Source("google-vertex", include=("gemini-*",)),
    "nebius": Source("nebius", exclude=("*-fast",)),
    "novita": Source("novita-ai"),
    "together": Source("togetherai"),
    "z-ai": Source("zai"),
}  # fmt: skip

_AUTHORS: Final[Mapping[str, str]] = {
    "alibaba": "qwen",
    "meta": "meta-llama",
    "mistral": "mistralai",
    "xai": "x-ai",
    "zhipuai": "z-ai",
}

_REGION: Final = re.compile(r"^(?:us|eu|au|jp|apac|global)\.")
_VENDOR: Final = re.compile(
    r"^(?:alibaba|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot(?:ai)?|nvidia|openai|qwen|xai|zai)[.-]"
)
# How it is served, and when it was frozen: no part of which model it is.
_ENDINGS: Final = re.compile(
    r"(?:-20[0-9]{6}|@.*|-v[0-9]+(?::[0-9]+)?|:[0-9]+|-maas|-tee|-(?:nv)?fp[48]|-bf16|(?<=instruct)-turbo|(?<=2507)-tput|-instruct)$"
)
_QUANTIZATION: Final = re.compile(r"-(fp8|nvfp4|fp4|int4|int8|bf16)(?![a-z0-9])")
_OWN_PROVIDERS: Final[Mapping[str, str]] = {
    "amazon": "amazon-bedrock",
    "google": "google-ai-studio",
    "mistralai": "mistral",
    "qwen": "alibaba",
    "x-ai": "xai",
}


def sources_of(slug: str) -> tuple[Source, ...]:
    """Where models.dev describes a provider of the catalogue."""
    return (_SOURCES.get(slug, Source(slug)),)


def own_provider(model_id: str) -> str:
    """The provider at which a model's author offers it."""
    author = model_id.partition("/")[0]
    return _OWN_PROVIDERS.get(author, author)


def region_of(key: str) -> str:
    """Where a provider serves a model, where its name of the model says so."""
    match = _REGION.match(key)
    return match.group().rstrip(".") if match else ""


def quantization_of(key: str) -> str:
    """The precision of the weights, where a provider's name of a model says so."""
    match = _QUANTIZATION.search(key.lower())
    return match.group(1) if match else ""


def author_of(base_model: str) -> str:
    """The catalogue's id for a model of models.dev, empty for none."""
    author, slash, slug = base_model.partition("/")
    return f"{_AUTHORS.get(author, author)}/{slug}".lower() if slash else ""


def offer_name(key: str) -> str:
    """Bring a provider's name of a model to what is the same at all of them; `p` is a dot at some."""
    name = key.rpartition("/")[2].lower()
    name = _REGION.sub("", name)
    while (shorter := _ENDINGS.sub("", _VENDOR.sub("", name))) != name:
        name = shorter
    return re.sub(r"(?<=[0-9])p(?=[0-9])|[^a-z0-9]", "", name)


def known_names(model: Mapping[str, Value]) -> set[str]:
    """Everything that a model of the catalogue is called, brought to the same form."""
    aliases = model.get("aliases")
    stated = [
        str(model.get("id", "")).partition(":")[0],
        str(model.get("hugging_face_id", "")),
        *(str(alias) for alias in (aliases if isinstance(aliases, list) else ()) if not str(alias).startswith("~")),
        *(str(endpoint.get("upstream_model", "")) for endpoint in mappings(model.get("endpoints"))),
    ]
    return {name for each in stated if (name := offer_name(each))}
