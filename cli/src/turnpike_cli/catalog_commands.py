"""`turnpike catalog`: check catalogue files, compare them, bring facts into them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import click

from contracts.catalog import Catalog, CatalogError, Problem, parse_catalog
from turnpike_cli.catalog_diff import compare
from turnpike_cli.catalog_document import DocumentError
from turnpike_cli.catalog_files import read_catalog_files, read_text, write_texts
from turnpike_cli.catalog_import import import_facts
from turnpike_cli.catalog_models_dev import FactsError, read_facts
from turnpike_cli.errors import CommandError
from turnpike_cli.options import json_option
from turnpike_cli.output import note, show_columns, show_json

_HERE = Path("catalog")


class FaultyCatalogError(CommandError):
    """Catalogue files have problems; the message names the first."""


@click.group()
def catalog() -> None:
    """Check catalogue files, compare them, and bring facts into them."""


@catalog.command("lint")
@click.argument("paths", metavar="[DIR]...", nargs=-1, type=click.Path(path_type=Path))
@click.pass_context
def lint(context: click.Context, paths: Sequence[Path]) -> None:
    """Read the catalogue below each DIR (./catalog by default) as the services do.

    Prints every problem with file and line; the exit code is 1 if there is one. Names the providers that cannot be
    called because their address has a part that is yet to be filled in; that is no problem.
    """
    problems, read = lint_files(read_catalog_files(paths or [_HERE]))
    for problem in problems:
        click.echo(str(problem))
    if problems or read is None:
        context.exit(1)
    note(
        f"{len(read.models)} models at {len(read.endpoints)} endpoints of {len(read.providers)} providers: no problems"
    )
    if unaddressed := [slug for slug, provider in read.providers.items() if not provider.has_address]:
        note(f"without an address until provider_overrides give one: {', '.join(unaddressed)}")


@catalog.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Show what NEW has that OLD has not, and the other way round. Each is a folder or a file.

    Prices are shown in dollars per million tokens, and with --json as in the files, in dollars per token.
    """
    found = compare(_sound(old), _sound(new))
    if as_json:
        show_json(found.as_json())
    elif found:
        show_columns(("WHAT", "WHERE", "OLD", "NEW", "BY"), list(found.rows()))
    else:
        note("no difference")


@catalog.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "origin", type=click.Choice(["models-dev"]), required=True, help="Whose facts FILE holds.")
@click.option(
    "--models",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Ids of models to find further endpoints for, and to add; by default only what is there is brought up to date.",
)
@click.option("--catalog", "folder", type=click.Path(path_type=Path), default=_HERE, help="The catalogue; ./catalog.")
@click.option("--out", type=click.Path(path_type=Path), help="Where changed files go; the catalogue by default.")
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="When the facts were read up, if FILE does not say so."
)
def bring_in(
    file: Path, origin: str, globs: Sequence[str], folder: Path, out: Path | None, as_of: datetime | None
) -> None:
    """Bring the prices and limits in FILE into the catalogue.

    FILE is the JSON of models.dev, possibly compressed (.gz). Names, descriptions, parameters, policies and comments
    that are there stay. Nothing is written if the result would have a problem.
    """
    files = {str(Path(name).relative_to(folder)): text for name, text in read_catalog_files([folder]).items()}
    try:
        facts = read_facts(read_text(file))
        day = as_of.date() if as_of else facts.as_of
        if day is None:
            raise click.UsageError(f"{file} does not say when it was read up: give --as-of")
        result = import_facts(files, facts, day, globs)
    except (FactsError, DocumentError) as error:
        raise CommandError(f"cannot import {file}: {error}") from None
    problems, _ = lint_files({**files, **result.files})
    if problems:
        raise FaultyCatalogError(
            f"the result would have {len(problems)} problems, so nothing was written: {problems[0]}"
        )
    write_texts(out or folder, result.files)
    for line in result.notes:
        click.echo(line)
    note(_written(day, len(result.files)))


def lint_files(files: dict[str, str]) -> tuple[Sequence[Problem], Catalog | None]:
    """Read files by name; every problem, or the catalogue."""
    try:
        return (), parse_catalog(list(files.items()))
    except CatalogError as error:
        return error.problems, None


def _sound(path: Path) -> Catalog:
    problems, read = lint_files(read_catalog_files([path]))
    if read is None:
        raise FaultyCatalogError(f"{problems[0]} ({len(problems)} problems; see turnpike catalog lint {path})")
    return read


def _written(day: date, files: int) -> str:
    return f"facts of {day}: {files} file{'' if files == 1 else 's'} changed"
