"""The `providers` and `provider_overrides` of catalogue files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from contracts.catalog import vocabulary as words
from contracts.catalog.dialect import QUIRKS_OF, Dialect, Quirk
from contracts.catalog.values import DataPolicy, Provider
from contracts.catalog.yaml_fields import Fields

_BLANK: Final = re.compile(r"\{[a-z][a-z_]*\}")
_STAND_IN: Final = re.compile(r"(?<=//)your-[a-z]*|[<>]")


def read_provider(row: Fields) -> Provider:
    """Read one provider."""
    with row as fields:
        dialect = Dialect(fields.choice("dialect", [*Dialect], default=Dialect.OPENAI_COMPATIBLE))
        return Provider(
            slug=fields.text("slug", pattern=words.SLUG, form=words.SLUG_FORM),
            name=fields.text("name"),
            base_url=_base_url(fields, may_have_blanks=True),
            dialect=dialect,
            privacy_policy_url=_url(fields, "privacy_policy_url"),
            terms_of_service_url=_url(fields, "terms_of_service_url"),
            status_page_url=_url(fields, "status_page_url"),
            headquarters=fields.text("headquarters", default="", pattern=words.COUNTRY, form=words.COUNTRY_FORM),
            datacenters=_datacenters(fields),
            data_policy=read_data_policy(fields, DataPolicy()),
            simulated=fields.flag("simulated", default=False),
            quirks=read_quirks(fields, [dialect]),
        )


def read_override(fields: Fields, provider: Provider) -> Provider:
    """Read what an operator says of a provider that another file defines; quirks are added to its own.

    Args:
        fields: of the override; its `slug` has been read.
        provider: as it is defined.
    """
    changing = ("base_url", "datacenters", "data_policy", "quirks")
    if not any(map(fields.has, changing)):
        fields.problem(f"changes nothing: give at least one of {', '.join(changing)}")
    return replace(
        provider,
        base_url=_base_url(fields, may_have_blanks=False) if fields.has("base_url") else provider.base_url,
        datacenters=_datacenters(fields) if fields.has("datacenters") else provider.datacenters,
        data_policy=read_data_policy(fields, provider.data_policy),
        quirks=provider.quirks | read_quirks(fields, [provider.dialect]),
    )


def read_quirks(fields: Fields, dialects: Iterable[Dialect]) -> frozenset[Quirk]:
    """Read `quirks`; each must be a word of one of these dialects, of which there is at least one."""
    if not fields.has("quirks"):
        return frozenset()
    names = sorted(set(dialects))
    known = sorted({quirk for dialect in names for quirk in QUIRKS_OF[dialect]})
    form = f"a quirk of {' or '.join(names)}, which knows {', '.join(known) or 'none'}"
    return frozenset(Quirk(word) for word in fields.texts("quirks", allowed=known, form=form))


def read_data_policy(fields: Fields, default: DataPolicy) -> DataPolicy:
    """Read `data_policy`; what it does not say is assumed to be the worse."""
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


def _datacenters(fields: Fields) -> tuple[str, ...]:
    return fields.texts("datacenters", pattern=words.COUNTRY, form=words.COUNTRY_FORM)


def _base_url(fields: Fields, *, may_have_blanks: bool) -> str:
    text = fields.text("base_url")
    filled = _BLANK.sub("x", text) if may_have_blanks else text
    if not text:
        return ""
    if stand_in := _STAND_IN.search(filled):
        fields.problem(
            f"base_url: {stand_in.group()!r} stands for something; write a part to be filled in as {{name}}", "base_url"
        )
    elif "{" in filled or "}" in filled:
        fields.problem(f"base_url: {text!r} has a part that is not filled in", "base_url")
    elif fault := _url_fault(filled, may_have_query=False):
        fields.problem(f"base_url: {fault}", "base_url")
    return text.rstrip("/")


def _url(fields: Fields, name: str) -> str:
    text = fields.text(name, default="")
    if text and (fault := _url_fault(text, may_have_query=True)):
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
