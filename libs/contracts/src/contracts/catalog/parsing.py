"""Catalogue files to `Catalog`: pure, and strict about everything, because a wrong price costs money silently."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from types import MappingProxyType

import msgspec

from contracts.catalog import vocabulary as words
from contracts.catalog.dialect import QUIRKS_OF, Dialect, Quirk
from contracts.catalog.price_parsing import read_price
from contracts.catalog.problems import CatalogError, Problem
from contracts.catalog.provider_parsing import read_data_policy, read_override, read_provider, read_quirks
from contracts.catalog.values import Catalog, Endpoint, Model, Provider
from contracts.catalog.yaml_fields import Fields, Problems, compose
from contracts.ids import EndpointId, ModelId

MAX_CONTEXT = 100_000_000
_SECTIONS = ("providers", "provider_overrides", "models", "endpoints")


def parse_catalog(files: Sequence[tuple[str, str]]) -> Catalog:
    """Read `(name, text)` pairs into one catalogue; a file may hold any of the sections.

    Raises:
        CatalogError: with every fault in every file.
    """
    problems: Problems = []
    if not files:
        raise CatalogError([Problem("catalogue", 0, "no files")])
    documents = [
        Fields(name, node, problems)
        for name, text in sorted(files)
        if (node := compose(name, text, problems)) is not None
    ]
    reader = _Reader()
    rows: dict[str, list[Fields]] = {name: [] for name in _SECTIONS}
    for document in documents:
        with document as fields:
            for name in _SECTIONS:
                rows[name] += fields.items(name)
    for row in rows["providers"]:
        reader.provider(row)
    for row in rows["provider_overrides"]:
        reader.override(row)
    for row in rows["endpoints"]:
        reader.further_endpoint(row)
    for row in rows["models"]:
        reader.model(row)
    reader.end()
    if problems:
        raise CatalogError(problems)
    return reader.catalog()


@dataclass(frozen=True, slots=True)
class _EndpointDefaults:
    """What a model says for those of its endpoints that do not say it themselves."""

    supported_parameters: frozenset[str]
    expiration_date: date | None
    quirks: frozenset[Quirk]
    """For the endpoints whose dialect knows them."""
    tokenizer: str


class _Reader:
    """What has been read so far; the first of two things with one name wins, the second is a problem."""

    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {}
        self._models: dict[ModelId, Model] = {}
        self._endpoints: dict[EndpointId, Endpoint] = {}
        self._names: dict[str, Model] = {}
        self._overridden: set[str] = set()
        self._further: dict[str, list[Fields]] = {}

    def catalog(self) -> Catalog:
        content = msgspec.json.encode((list(self._providers.values()), list(self._models.values())), order="sorted")
        return Catalog(
            version=hashlib.sha256(content).hexdigest()[:16],
            providers=MappingProxyType(self._providers),
            models=MappingProxyType(self._models),
            endpoints=MappingProxyType(self._endpoints),
            names=MappingProxyType(self._names),
        )

    def provider(self, row: Fields) -> None:
        provider = read_provider(row)
        if provider.slug in self._providers:
            row.problem(f"slug: provider {provider.slug!r} is defined twice", "slug")
        elif provider.name in {other.name for other in self._providers.values()}:
            row.problem(f"name: {provider.name!r} is the name of another provider", "name")
        if provider.slug:
            self._providers.setdefault(provider.slug, provider)

    def override(self, row: Fields) -> None:
        """Change a provider that is defined, once."""
        with row as fields:
            slug = fields.text("slug", pattern=words.SLUG, form=words.SLUG_FORM)
            provider = self._providers.get(slug)
            if provider is None and slug:
                row.problem(f"slug: no provider {slug!r} is defined", "slug")
            elif slug in self._overridden:
                row.problem(f"slug: provider {slug!r} is overridden twice", "slug")
            changed = read_override(fields, provider or Provider(slug=slug, name=slug, base_url=""))
        if provider is not None:
            self._providers[slug] = changed
            self._overridden.add(slug)

    def further_endpoint(self, row: Fields) -> None:
        """Keep an endpoint for when its model is read."""
        if row.is_mapping:
            self._further.setdefault(row.text("model", pattern=words.MODEL_ID, form=words.MODEL_ID_FORM), []).append(
                row
            )

    def end(self) -> None:
        """Note the endpoints whose model did not come."""
        for name, rows in self._further.items():
            for row in rows:
                if name:
                    row.problem(f"model: no model {name!r} is defined", "model")

    def model(self, row: Fields) -> None:
        with row as fields:
            model_id = ModelId(fields.text("id", pattern=words.MODEL_ID, form=words.MODEL_ID_FORM))
            created = fields.day("created")
            defaults = _EndpointDefaults(
                supported_parameters=_parameters(fields),
                expiration_date=fields.day("expiration_date", required=False),
                quirks=read_quirks(fields, Dialect),
                tokenizer=fields.text("tokenizer", default="Other"),
            )
            offers = [*fields.items("endpoints", required=True), *self._further.pop(model_id, ())]
            model = Model(
                id=model_id,
                canonical_slug=fields.text(
                    "canonical_slug", default=model_id, pattern=words.MODEL_ID, form=words.MODEL_ID_FORM
                ),
                name=fields.text("name"),
                description=fields.text("description"),
                created=datetime.combine(created, time(), UTC) if created else datetime.min.replace(tzinfo=UTC),
                input_modalities=fields.texts("input_modalities", allowed=words.MODALITIES, required=True),
                output_modalities=fields.texts("output_modalities", allowed=words.MODALITIES, required=True),
                tokenizer=defaults.tokenizer,
                hugging_face_id=fields.text("hugging_face_id", default=""),
                aliases=fields.texts("aliases", pattern=words.ALIAS, form=words.ALIAS_FORM),
                endpoints=tuple(self._endpoint(model_id, offer, defaults) for offer in offers),
                expiration_date=defaults.expiration_date,
            )
        known = {quirk for endpoint in model.endpoints for quirk in QUIRKS_OF[endpoint.provider.dialect]}
        for quirk in sorted(defaults.quirks - known):
            row.problem(f"quirks: none of the model's endpoints has a dialect that knows {quirk.value!r}", "quirks")
        names = {"id": model.id, "canonical_slug": model.canonical_slug}
        for field, name in [*names.items(), *(("aliases", alias) for alias in model.aliases)]:
            other = self._names.setdefault(name, model)
            if name and other is not model:
                row.problem(f"{field}: {name!r} already names {other.id!r}", field)
        self._models.setdefault(model.id, model)

    def _endpoint(self, model_id: ModelId, row: Fields, defaults: _EndpointDefaults) -> Endpoint:
        with row as fields:
            slug = fields.text("provider", pattern=words.SLUG, form=words.SLUG_FORM)
            provider = self._providers.get(slug)
            if provider is None:
                if slug:
                    row.problem(f"provider: no provider {slug!r} is defined", "provider")
                provider = Provider(slug=slug, name=slug, base_url="")
            tag = fields.text("tag", default=slug, pattern=words.TAG, form=words.TAG_FORM)
            if tag.partition("/")[0] != slug:
                row.problem(f"tag: {tag!r} is not {words.TAG_FORM} ({slug})", "tag")
            endpoint_id = EndpointId(f"{model_id}@{tag}")
            service_tier = fields.choice("service_tier", words.SERVICE_TIERS) if fields.has("service_tier") else ""
            if service_tier and "/" not in tag:
                row.problem(
                    f"tag: an endpoint of a service tier needs a tag of its own, such as {slug}/{service_tier}", "tag"
                )
            if service_tier and provider.dialect is not Dialect.OPENAI_COMPATIBLE:
                row.problem("service_tier: only the openai-compatible dialect can ask for one", "service_tier")
            context_length = fields.integer("context_length", minimum=1, maximum=MAX_CONTEXT)
            price = read_price(fields, endpoint_id, context_length, free=model_id.endswith(":free"))
            endpoint = Endpoint(
                id=endpoint_id,
                model_id=model_id,
                provider=provider,
                tag=tag,
                upstream_model=fields.text(
                    "upstream_model", pattern=words.UPSTREAM_MODEL, form=words.UPSTREAM_MODEL_FORM
                ),
                price=price.base,
                price_as_of=price.as_of,
                price_source=price.source,
                context_length=context_length,
                max_completion_tokens=fields.integer(
                    "max_completion_tokens", minimum=0, maximum=context_length, default=0
                ),
                supported_parameters=(
                    _parameters(fields) if fields.has("supported_parameters") else defaults.supported_parameters
                ),
                quantization=fields.choice("quantization", words.QUANTIZATIONS, default="unknown"),
                data_policy=read_data_policy(fields, provider.data_policy),
                quirks=(
                    provider.quirks
                    | defaults.quirks & QUIRKS_OF[provider.dialect]
                    | read_quirks(fields, [provider.dialect])
                ),
                price_schedule=price.schedule,
                service_tier=service_tier,
                region=fields.text("region", default="", pattern=words.REGION, form=words.REGION_FORM),
                datacenters=(
                    fields.texts("datacenters", pattern=words.COUNTRY, form=words.COUNTRY_FORM)
                    if fields.has("datacenters")
                    else provider.datacenters
                ),
                expiration_date=fields.day("expiration_date", required=False) or defaults.expiration_date,
                tokenizer=defaults.tokenizer,
            )
        if endpoint_id in self._endpoints:
            row.problem(f"tag: endpoint {endpoint_id!r} is defined twice; give one a tag of its own", "tag")
        self._endpoints.setdefault(endpoint_id, endpoint)
        return endpoint


def _parameters(fields: Fields) -> frozenset[str]:
    return frozenset(fields.texts("supported_parameters", allowed=words.PARAMETERS))
