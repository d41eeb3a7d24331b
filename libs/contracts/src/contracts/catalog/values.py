"""The catalogue as values. All are immutable and may be shared between requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from contracts.catalog.dialect import Dialect, Quirk
from contracts.catalog.price_schedule import PriceSchedule
from contracts.ids import EndpointId, ModelId
from contracts.money import UnitPrice
from contracts.operations import Operation, operations_of


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """What a provider says it does with prompts and answers. Where it says nothing, the worse is assumed."""

    trains_on_prompts: bool = True
    retains_prompts: bool = True
    retention_days: int | None = None
    """How long prompts are kept, where `retains_prompts`; None when not known."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A company or a server that offers endpoints."""

    slug: str
    name: str
    base_url: str
    """Without a trailing slash; the dialect appends its path. A part in braces is for the operator to fill in."""
    dialect: Dialect = Dialect.OPENAI_COMPATIBLE
    privacy_policy_url: str = ""
    terms_of_service_url: str = ""
    status_page_url: str = ""
    headquarters: str = ""
    """ISO 3166 code of a country, empty when not known."""
    datacenters: tuple[str, ...] = ()
    """ISO 3166 codes."""
    data_policy: DataPolicy = DataPolicy()
    simulated: bool = False
    """Whether answers are made up by a simulator."""
    quirks: frozenset[Quirk] = frozenset()
    """Those of all of its endpoints, which have them among their own."""

    @property
    def has_address(self) -> bool:
        """Whether it can be called: its base URL has no part that an operator has yet to fill in."""
        return "{" not in self.base_url


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at a provider, with its price and limits."""

    id: EndpointId
    """`<model id>@<tag>`."""
    model_id: ModelId
    provider: Provider
    tag: str
    """The provider's slug, with `/<suffix>` where it has several endpoints for the model."""
    upstream_model: str
    """What the provider calls the model."""
    price: UnitPrice
    """The base price. What a request costs is `price_for`'s to say."""
    price_as_of: date | None
    price_source: str
    context_length: int
    """Prompt and completion tokens together."""
    max_completion_tokens: int
    """Most tokens in one answer, 0 when only the context limits it."""
    supported_parameters: frozenset[str]
    quantization: str
    """Precision of the weights, `unknown` when the provider does not say."""
    data_policy: DataPolicy
    quirks: frozenset[Quirk] = frozenset()
    """Its own, and those of its provider and its model."""
    price_schedule: PriceSchedule | None = None
    """Prices by length of prompt and time of day; None when the base price always holds."""
    service_tier: str = ""
    """`priority` or `flex` for an endpoint that serves only who asks for this tier; empty for an ordinary one."""
    region: str = ""
    """The provider's own word for where it runs, empty when it does not say."""
    datacenters: tuple[str, ...] = ()
    """ISO 3166 codes of the countries where it runs, empty when not known."""
    expiration_date: date | None = None
    """Its last day in UTC: afterwards the provider may have switched it off. None when none is announced."""
    tokenizer: str = "Other"
    """The family of its model's tokenizer."""

    def is_expired(self, day: date) -> bool:
        """Say whether its last day is over on this day, which is in UTC."""
        return self.expiration_date is not None and day > self.expiration_date


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the public sees it, with at least one endpoint."""

    id: ModelId
    """`author/slug`, with `:variant` for a variant that has a price of its own."""
    canonical_slug: str
    """Immutable, dated name of the same model."""
    name: str
    description: str
    created: datetime
    """When it was listed here, in UTC."""
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    tokenizer: str
    hugging_face_id: str
    """Empty when it has none."""
    aliases: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    expiration_date: date | None = None
    """The last day of endpoints that do not name one themselves; None when none is announced."""

    @property
    def operations(self) -> frozenset[Operation]:
        """What can be asked of it."""
        return operations_of(self.output_modalities)

    @property
    def context_length(self) -> int:
        """The largest context over the endpoints."""
        return max(endpoint.context_length for endpoint in self.endpoints)


@dataclass(frozen=True, slots=True, repr=False)
class Catalog:
    """Everything on offer. Look-ups take constant time."""

    version: str
    """Names this content: equal content has an equal version, whatever the files look like."""
    providers: Mapping[str, Provider]
    """By slug, in the order of the files."""
    models: Mapping[ModelId, Model]
    """By id, in the order of the files. Aliases are not in it."""
    endpoints: Mapping[EndpointId, Endpoint]
    names: Mapping[str, Model]
    """By id, canonical slug and alias."""

    def __repr__(self) -> str:
        return f"Catalog({self.version}, {len(self.models)} models, {len(self.endpoints)} endpoints)"

    def model(self, name: str) -> Model | None:
        """Find a model by id, canonical slug or alias."""
        return self.names.get(name)

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Find an endpoint by id."""
        return self.endpoints.get(EndpointId(endpoint_id))
