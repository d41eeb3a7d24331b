"""The catalogue of the local stack: Turnpike's own files, and those of the providers that run on this very machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import yaml

from contracts.catalog import Catalog, CatalogError, parse_catalog, parse_credentials
from localstack.errors import MissingPartError, StateDamagedError
from localstack.state import write_private

_HERE = Path(__file__).resolve().parent
_OURS = "local.yaml"


def shipped_catalog() -> Path:
    """The folder of catalogue files that comes with Turnpike: the repository's, or the one in the installed package.

    Raises:
        MissingPartError: there is neither.
    """
    for candidate in (_HERE.parents[3] / "catalog", _HERE / "catalog"):
        if (candidate / "local").is_dir():
            return candidate
    raise MissingPartError("Turnpike's catalogue files are not installed; install turnpike-localstack again")


def render_local(templates: Path, target: Path, addresses: Mapping[str, str]) -> None:
    """Write the catalogue of the providers on this machine, from `<name>.yaml.in` with `${ADDRESS}` in it.

    A template with an address that is not known is left out, and so is what an earlier run made of it.

    Raises:
        StateDamagedError: a file cannot be written.
    """
    try:
        for template_file in sorted(templates.glob("*.yaml.in")):
            template = Template(template_file.read_text(encoding="utf-8"))
            rendered = target / template_file.name.removesuffix(".in")
            if set(template.get_identifiers()) <= addresses.keys():
                write_private(rendered, template.substitute(addresses))
            else:
                rendered.unlink(missing_ok=True)
    except OSError as error:
        raise StateDamagedError(f"cannot write the catalogue in {target}: {error.strerror or error}") from None


def read_catalog(directories: Sequence[Path]) -> Catalog:
    """Read all catalogue files below some folders, as the router will.

    Raises:
        StateDamagedError: with the first fault, and how many there are.
    """
    files = [
        (str(path), path.read_text(encoding="utf-8", errors="replace"))
        for directory in directories
        for path in sorted(directory.rglob("*.yaml"))
    ]
    try:
        return parse_catalog(files)
    except CatalogError as error:
        first, *others = error.problems
        more = f" (and {len(others)} more)" if others else ""
        raise StateDamagedError(f"the catalogue is not valid: {first}{more}") from None


def write_credentials(directory: Path, keys: Mapping[str, str], catalog: Catalog) -> None:
    """Write what makes the providers on this machine routable. Other files in the folder are the user's.

    A provider on this machine that nobody names a key for needs none.

    Args:
        directory: of credentials files.
        keys: API key by provider slug; an empty one for none.
        catalog: all providers.

    Raises:
        StateDamagedError: a file of the user is not valid, or ours cannot be written.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    theirs = [path for path in sorted(directory.rglob("*.yaml")) if path.name != _OURS]
    try:
        named = parse_credentials([(str(path), path.read_text(encoding="utf-8")) for path in theirs])
    except (CatalogError, OSError, ValueError) as error:
        raise StateDamagedError(f"provider keys in {directory} are not valid: {error}") from None
    keyless = {slug: "" for slug, provider in catalog.providers.items() if _is_here(provider.base_url)}
    ours = {slug: key for slug, key in {**keyless, **keys}.items() if slug not in named}
    write_private(directory / _OURS, yaml.safe_dump(ours, default_style='"'))


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
