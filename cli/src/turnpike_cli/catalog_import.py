"""The facts of models.dev brought into catalogue files. Pure: files are texts by name.

What models.dev knows is replaced: prices, limits, the date and the source of the price. What people have written stays:
names, descriptions, aliases, parameters, tags, policies, quirks, prices by time of day, and comments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase

from contracts.money import pico_to_decimal_text
from turnpike_cli.catalog_document import Document, DocumentError, Value, mappings, read_document, write_document
from turnpike_cli.catalog_models_dev import Facts, Offer
from turnpike_cli.catalog_names import (
    author_of,
    known_names,
    offer_name,
    own_provider,
    quantization_of,
    region_of,
    sources_of,
)

MAX_ENDPOINTS = 8
# Prices that models.dev does not know.
_KEPT_KINDS = ("request", "image", "second", "character", "search_unit")


@dataclass(slots=True)
class ImportResult:
    """Texts by file name, those that changed only, and what was done, as lines for people."""

    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def import_facts(
    files: Mapping[str, str],
    facts: Facts,
    as_of: date,
    globs: Sequence[str] = (),
    new_file: str = "models/{author}.yaml",
) -> ImportResult:
    """Bring facts into catalogue files.

    Args:
        files: the catalogue as it is, by name.
        facts: of models.dev.
        as_of: when the facts were read up.
        globs: patterns of model ids. Models that match are given endpoints at every provider of the catalogue that
            offers them, and models that the catalogue does not have are added when at least two do. Without patterns
            only the endpoints that are there are brought up to date.
        new_file: where models of an author go that has no file yet; `{author}` is put in.

    Raises:
        DocumentError: a file is no catalogue file.
    """
    documents = {name: _read(name, text) for name, text in sorted(files.items())}
    before = {name: deepcopy(document.content) for name, document in documents.items()}
    importer = _Importer(documents, facts, as_of, globs)
    for document in documents.values():
        for model in document.items("models"):
            importer.update(model)
        for endpoint in document.items("endpoints"):
            importer.update_endpoint(str(endpoint.get("model")), endpoint)
    if globs:
        importer.add_models(new_file)
    result = ImportResult(notes=importer.notes)
    for name, document in importer.documents.items():
        if document.content != before.get(name):
            result.files[name] = write_document(document)
    return result


def _read(name: str, text: str) -> Document:
    try:
        return read_document(text)
    except DocumentError as error:
        raise DocumentError(f"{name}: {error}") from None


class _Importer:
    def __init__(self, documents: dict[str, Document], facts: Facts, as_of: date, globs: Sequence[str]) -> None:
        self.documents = documents
        self.notes: list[str] = []
        self._facts = facts
        self._as_of = as_of
        self._globs = globs
        self._providers = [
            str(row.get("slug")) for document in documents.values() for row in document.items("providers")
        ]
        self._models = [model for document in documents.values() for model in document.items("models")]

    def update(self, model: dict[str, Value]) -> None:
        """Bring one model's endpoints up to date, and find further ones if its id matches a pattern."""
        model_id = str(model.get("id"))
        endpoints = mappings(model.get("endpoints"))
        for endpoint in endpoints:
            self.update_endpoint(model_id, endpoint)
        if not self._matches(model_id):
            return
        # What a provider that was found calls the model may lead to further ones.
        while found := self._further(model_id, model, endpoints):
            endpoints.append(self._endpoint(*found))
            model["endpoints"] = [*endpoints]
            self.notes.append(f"{model_id}: added {found[0]} ({found[2].key})")
        _share_parameters(model, endpoints)

    def _further(
        self, model_id: str, model: dict[str, Value], endpoints: Sequence[dict[str, Value]]
    ) -> tuple[str, str, Offer] | None:
        taken = {str(endpoint.get("provider")) for endpoint in endpoints}
        if len(taken) >= MAX_ENDPOINTS:
            return None
        return next((each for each in self._offers(model_id, known_names(model)) if each[0] not in taken), None)

    def add_models(self, new_file: str) -> None:
        """Add the models that match and are not there, in the order of their ids."""
        have = {name for model in self._models for name in known_names(model)}
        missing: set[str] = set()
        for slug in self._providers:
            for source in sources_of(slug):
                for offer in self._facts.offers.get(source.id, {}).values():
                    model_id = author_of(offer.base_model)
                    if (
                        model_id
                        and self._matches(model_id)
                        and offer_name(model_id) not in have
                        and not offer.withdrawn
                    ):
                        missing.add(model_id)
        for model_id in sorted(missing):
            found = self._offers(model_id, {offer_name(model_id)})
            if len(found) < 2:
                self.notes.append(f"{model_id}: left out, fewer than two providers of the catalogue offer it")
                continue
            model = _model(model_id, [each[2] for each in found])
            self.update(model)
            self._file(model_id, new_file).append(model)

    def _file(self, model_id: str, new_file: str) -> list[Value]:
        author = model_id.partition("/")[0]
        for document in self.documents.values():
            models = document.content.get("models")
            if isinstance(models, list) and any(
                str(model.get("id")).startswith(f"{author}/") for model in mappings(models)
            ):
                return models
        document = self.documents.setdefault(new_file.format(author=author), Document())
        fresh: list[Value] = []
        document.content["models"] = fresh
        return fresh

    def _matches(self, model_id: str) -> bool:
        return any(fnmatchcase(model_id, glob) for glob in self._globs)

    def _offers(self, model_id: str, names: Set[str]) -> list[tuple[str, str, Offer]]:
        """The offers of a model by the catalogue's providers, its author's first: slug, source, offer."""
        found = []
        free = model_id.endswith(":free")
        for slug in self._providers:
            for source in sources_of(slug):
                fits = [
                    offer
                    for offer in self._facts.offers.get(source.id, {}).values()
                    if offer.amounts
                    and offer.context
                    and offer.free == free
                    and not offer.withdrawn
                    and source.takes(offer.key)
                    and names & {offer_name(offer.key), offer_name(offer.base_model)}
                ]
                if fits:
                    # One that names its region, else the plainest: others have a date or a way of serving in them.
                    plainest = min(fits, key=lambda offer: (not region_of(offer.key), len(offer.key), offer.key))
                    found.append((slug, source.id, plainest))
        own = own_provider(model_id)
        return sorted(found, key=lambda each: each[0] != own)

    def update_endpoint(self, model_id: str, endpoint: dict[str, Value]) -> None:
        """Bring one endpoint up to date."""
        slug, key = str(endpoint.get("provider")), str(endpoint.get("upstream_model"))
        for source in sources_of(slug):
            offer = self._facts.offers.get(source.id, {}).get(key)
            if offer is not None and offer.amounts and offer.context:
                endpoint["price"] = self._price(source.id, offer, endpoint.get("price"))
                endpoint["context_length"] = offer.context
                _put(endpoint, "max_completion_tokens", offer.output)
                return
        if source_is_models_dev(endpoint):
            self.notes.append(f"{model_id}: {slug} is no longer listed with a price and a context ({key})")

    def _endpoint(self, slug: str, source: str, offer: Offer) -> dict[str, Value]:
        endpoint: dict[str, Value] = {
            "provider": slug,
            "upstream_model": offer.key,
            "price": self._price(source, offer, None),
            "context_length": offer.context,
        }
        if region_of(offer.key):
            endpoint["region"] = region_of(offer.key)
        _put(endpoint, "max_completion_tokens", offer.output)
        endpoint["supported_parameters"] = [*offer.parameters]
        if quantization_of(offer.key):
            endpoint["quantization"] = quantization_of(offer.key)
        return endpoint

    def _price(self, source: str, offer: Offer, old: Value | None) -> dict[str, Value]:
        """A price as models.dev states it, with those by time of day and by request that it does not know."""
        kept = old if isinstance(old, dict) else {}
        price: dict[str, Value] = {kind: pico_to_decimal_text(amount) for kind, amount in offer.amounts.items()}
        overrides: list[Value] = []
        holding = dict(offer.amounts)
        for tier in offer.tiers:
            changed = {kind: pico for kind, pico in tier.amounts.items() if holding.get(kind) != pico}
            if tier.over < offer.context and changed:
                holding |= changed
                stated = {kind: pico_to_decimal_text(pico) for kind, pico in changed.items()}
                overrides.append({"min_prompt_tokens": tier.over, **stated})
        overrides += [row for row in mappings(kept.get("overrides")) if any(name.startswith("utc_") for name in row)]
        if overrides:
            price["overrides"] = overrides
        price |= {kind: kept[kind] for kind in _KEPT_KINDS if kind in kept}
        return price | {"as_of": self._as_of, "source": self._facts.source(source)}


def source_is_models_dev(endpoint: Mapping[str, Value]) -> bool:
    """Whether an endpoint's price says that it comes from models.dev."""
    price = endpoint.get("price")
    return isinstance(price, dict) and "/models.dev/" in str(price.get("source", ""))


def _put(endpoint: dict[str, Value], name: str, amount: int) -> None:
    if amount:
        endpoint[name] = amount
    else:
        endpoint.pop(name, None)


def _share_parameters(model: dict[str, Value], endpoints: Sequence[dict[str, Value]]) -> None:
    """Say once, at the model, what most of its endpoints support."""
    if "supported_parameters" not in model:
        lists = Counter(
            tuple(map(str, stated))
            for endpoint in endpoints
            if isinstance(stated := endpoint.get("supported_parameters"), list)
        )
        if not lists:
            return
        model["supported_parameters"] = [*max(lists, key=lambda each: (lists[each], len(each), each))]
    for endpoint in endpoints:
        if endpoint.get("supported_parameters") == model["supported_parameters"]:
            del endpoint["supported_parameters"]


def _model(model_id: str, offers: Sequence[Offer]) -> dict[str, Value]:
    first = offers[0]
    released = min((offer.released for offer in offers if offer.released), default=None)
    author = model_id.partition("/")[0]
    model: dict[str, Value] = {"id": model_id}
    if released:
        model["canonical_slug"] = f"{model_id}-{released:%Y%m%d}"
    model |= {
        "name": f"{author}: {first.name}",
        "description": _description(first, max(offer.context for offer in offers)),
        "created": released or date(1970, 1, 1),
        "input_modalities": [*first.reads],
        "output_modalities": [*first.writes],
        "endpoints": [],
    }
    return model


def _description(offer: Offer, context: int) -> str:
    """A plain sentence of facts, until somebody writes a better one."""
    kind = "A reasoning model" if "reasoning" in offer.parameters else "A model"
    weights = " with open weights" if offer.open_weights else ""
    return f"{kind}{weights} that reads {_listed(offer.reads)} and writes {_listed(offer.writes)}; context {context} tokens."


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
