"""Catalogue files to `Catalog`: pure, and strict about everything, because a wrong price costs money silently."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, time
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from contracts.catalog import vocabulary as words
from contracts.catalog.problems import CatalogError, Problem
from contracts.catalog.values import Catalog, DataPolicy, Dialect, Endpoint, Model, Provider, Quirk
from contracts.catalog.yaml_fields import Fields, Problems, compose
from contracts.ids import EndpointId, ModelId
from contracts.money import PicoUsd, UnitPrice, pico_from_decimal

MAX_CONTEXT = 100_000_000

# Ten times the dearest price known ($600 per million tokens); a price above it was meant per million, not per token.
MAX_TOKEN_PRICE = PicoUsd(6_000_000_000)
MAX_REQUEST_PRICE = PicoUsd(100 * 10**12)


def parse_catalog(files: Sequence[tuple[str, str]]) -> Catalog:
    """Read `(name, text)` pairs into one catalogue; a file may hold providers, models or both.

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
    rows: list[list[Fields]] = []
    for document in documents:
        with document as fields:
            providers, models = fields.items("providers"), fields.items("models")
        rows.append(models)
        for row in providers:
            reader.provider(row)
    for models in rows:
        for row in models:
            reader.model(row)
    if problems:
        raise CatalogError(problems)
    return reader.catalog()


class _Reader:
    """What has been read so far; the first of two things with one name wins, the second is a problem."""

    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {}
        self._models: dict[ModelId, Model] = {}
        self._endpoints: dict[EndpointId, Endpoint] = {}
        self._names: dict[str, Model] = {}

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
        with row as fields:
            provider = Provider(
                slug=fields.text("slug", pattern=words.SLUG, form=words.SLUG_FORM),
                name=fields.text("name"),
                base_url=_url(fields, "base_url", required=True).rstrip("/"),
                dialect=Dialect(fields.choice("dialect", [*Dialect], default=Dialect.OPENAI_COMPATIBLE)),
                privacy_policy_url=_url(fields, "privacy_policy_url"),
                terms_of_service_url=_url(fields, "terms_of_service_url"),
                status_page_url=_url(fields, "status_page_url"),
                headquarters=fields.text("headquarters", default="", pattern=words.COUNTRY, form=words.COUNTRY_FORM),
                datacenters=fields.texts("datacenters", pattern=words.COUNTRY, form=words.COUNTRY_FORM),
                data_policy=_data_policy(fields, DataPolicy()),
                simulated=fields.flag("simulated", default=False),
            )
        if provider.slug in self._providers:
            row.problem(f"slug: provider {provider.slug!r} is defined twice", "slug")
        elif provider.name in {other.name for other in self._providers.values()}:
            row.problem(f"name: {provider.name!r} is the name of another provider", "name")
        if provider.slug:
            self._providers.setdefault(provider.slug, provider)

    def model(self, row: Fields) -> None:
        with row as fields:
            model_id = ModelId(fields.text("id", pattern=words.MODEL_ID, form=words.MODEL_ID_FORM))
            created = fields.day("created")
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
                tokenizer=fields.text("tokenizer", default="Other"),
                hugging_face_id=fields.text("hugging_face_id", default=""),
                aliases=fields.texts("aliases", pattern=words.ALIAS, form=words.ALIAS_FORM),
                endpoints=tuple(self._endpoint(model_id, item) for item in fields.items("endpoints", required=True)),
            )
        names = {"id": model.id, "canonical_slug": model.canonical_slug}
        for field, name in [*names.items(), *(("aliases", alias) for alias in model.aliases)]:
            other = self._names.setdefault(name, model)
            if name and other is not model:
                row.problem(f"{field}: {name!r} already names {other.id!r}", field)
        self._models.setdefault(model.id, model)

    def _endpoint(self, model_id: ModelId, row: Fields) -> Endpoint:
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
            context_length = fields.integer("context_length", minimum=1, maximum=MAX_CONTEXT)
            price = _Price(fields, endpoint_id)
            endpoint = Endpoint(
                id=endpoint_id,
                model_id=model_id,
                provider=provider,
                tag=tag,
                upstream_model=fields.text(
                    "upstream_model", pattern=words.UPSTREAM_MODEL, form=words.UPSTREAM_MODEL_FORM
                ),
                price=price.unit_price,
                price_as_of=price.as_of,
                price_source=price.source,
                context_length=context_length,
                max_completion_tokens=fields.integer(
                    "max_completion_tokens", minimum=0, maximum=context_length, default=0
                ),
                supported_parameters=frozenset(fields.texts("supported_parameters", allowed=words.PARAMETERS)),
                quantization=fields.choice("quantization", words.QUANTIZATIONS, default="unknown"),
                data_policy=_data_policy(fields, provider.data_policy),
                quirks=frozenset(Quirk(word) for word in fields.texts("quirks", allowed=[*Quirk])),
            )
        if endpoint_id in self._endpoints:
            row.problem(f"tag: endpoint {endpoint_id!r} is defined twice; give one a tag of its own", "tag")
        self._endpoints.setdefault(endpoint_id, endpoint)
        return endpoint


class _Price:
    """The `price` section. A kind that is not given costs what the plain kind costs; a request costs nothing."""

    def __init__(self, endpoint: Fields, endpoint_id: EndpointId) -> None:
        zero = PicoUsd(0)
        self.unit_price = UnitPrice("", zero, zero, zero, zero, zero)
        self.as_of = None
        self.source = ""
        section = endpoint.section("price")
        if section is None:
            endpoint.problem("price: is missing")
            return
        with section as fields:
            prompt = _amount(fields, "prompt", None)
            completion = _amount(fields, "completion", None)
            amounts = (
                prompt,
                completion,
                _amount(fields, "reasoning", completion),
                _amount(fields, "cached", prompt),
                _amount(fields, "cache_write", prompt),
                _amount(fields, "request", zero, MAX_REQUEST_PRICE),
            )
            self.as_of = fields.day("as_of", required=False)
            self.source = fields.text("source", default="")
        identity = " ".join([endpoint_id, *map(str, amounts)])
        self.unit_price = UnitPrice(hashlib.sha256(identity.encode()).hexdigest()[:16], *amounts)


def _amount(fields: Fields, name: str, default: PicoUsd | None, maximum: PicoUsd = MAX_TOKEN_PRICE) -> PicoUsd:
    text = fields.text(name, default=None if default is None else "")
    if not text:
        return default if default is not None else PicoUsd(0)
    try:
        if not words.DECIMAL.fullmatch(text.removeprefix("-")):
            raise ValueError(f"not a plain decimal number: {text!r}")
        amount = pico_from_decimal(text)
    except ValueError as error:
        fields.problem(f"{name}: {error}", name)
        return PicoUsd(0)
    if amount > maximum:
        fields.problem(f"{name}: {text} is too large; prices are in dollars per token, not per million", name)
    return amount


def _data_policy(fields: Fields, default: DataPolicy) -> DataPolicy:
    section = fields.section("data_policy")
    if section is None:
        return default
    with section as policy:
        retains = policy.flag("retains_prompts", default=True)
        has_days = policy.has("retention_days")
        days = policy.integer("retention_days", minimum=0, maximum=36_500, default=0)
        if has_days and not retains:
            policy.problem("retention_days: nothing is retained", "retention_days")
        return DataPolicy(
            trains_on_prompts=policy.flag("trains_on_prompts", default=True),
            retains_prompts=retains,
            retention_days=days if has_days else None,
        )


def _url(fields: Fields, name: str, *, required: bool = False) -> str:
    text = fields.text(name, default=None if required else "")
    if not text:
        return ""
    fault = _url_fault(text, may_have_query=name != "base_url")
    if fault:
        fields.problem(f"{name}: {fault}", name)
    return text


def _url_fault(text: str, *, may_have_query: bool) -> str:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return "must be an http or https address"
    if port == 0 or url.scheme not in {"http", "https"} or not url.hostname or any(map(str.isspace, text)):
        return "must be an http or https address"
    if url.username is not None or url.password is not None:
        return "must not hold credentials"
    if not may_have_query and (url.query or url.fragment):
        return "must not have a query or a fragment"
    return ""
