"""Lists of cards, merchants and others: ``counterfoil lists add``, ``remove``, ``show``."""

from __future__ import annotations

import enum
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import out, tables
from cli.opening import keyed, operator, registry_at, settings_with
from cli.options import ArtifactsOption, DatabaseOption, ModelOption
from models.errors import CounterfoilError, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

cli = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Lists that decide beside the score: what is on [bold]allow[/] is approved, on [bold]block[/] declined, on "
    "[bold]watch[/] reviewed; on [bold]snooze[/] it raises no review until a time.",
    rich_markup_mode="rich",
)


class ListChoice(enum.StrEnum):
    """:data:`app.store.records.ListName`: Typer takes no list of a Literal."""

    allow = "allow"
    block = "block"
    watch = "watch"
    snooze = "snooze"


ListArgument = Annotated[ListChoice, typer.Argument(metavar="LIST", help="allow, block, watch or snooze.")]
ColumnArgument = Annotated[str, typer.Argument(help="Of the transactions, e.g. card_id.", show_default=False)]
ValuesArgument = Annotated[list[str], typer.Argument(help="As a transaction has them.", show_default=False)]


@cli.command("add")
def add(
    name: ListArgument,
    column: ColumnArgument,
    values: ValuesArgument,
    until: Annotated[
        str | None, typer.Option(help="End (ISO 8601), or how long from now, e.g. 30d. [dim]\\[default: no end][/]")
    ] = None,
    note: Annotated[str, typer.Option(help="Why.")] = "",
    by: Annotated[str | None, typer.Option(help="Who wants it. [dim]\\[default: who runs this command][/]")] = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Put values on a list. A value that is on it already gets the new end and note.

    A service that runs on SQLite or PostgreSQL changes its lists itself: POST /v1/lists/add.

    Example: counterfoil lists add block merchant_id m-17 m-21 --until 30d --note "chargebacks in May"
    """
    made = _change(name, column, values, until, note, by, (model, database, artifacts), listed=True)
    out.print(f"{name.value}: {made:,} of {len(set(values)):,} values put on, or given another end or note")


@cli.command("remove")
def remove(
    name: ListArgument,
    column: ColumnArgument,
    values: ValuesArgument,
    by: Annotated[str | None, typer.Option(help="Who wants it. [dim]\\[default: who runs this command][/]")] = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Take values off a list.

    Example: counterfoil lists remove block merchant_id m-17
    """
    made = _change(name, column, values, None, "", by, (model, database, artifacts), listed=False)
    out.print(f"{name.value}: {made:,} of {len(set(values)):,} values taken off")


@cli.command("show")
def show(
    name: Annotated[ListChoice | None, typer.Option("--list", help="Only this one.")] = None,
    column: Annotated[str | None, typer.Option(help="Only this column's values.")] = None,
    database: DatabaseOption = None,
) -> None:
    """Show what stands on the lists now, last changed first. May run beside the service.

    Example: counterfoil lists show --list block
    """
    from rich.markup import escape
    from rich.table import Table

    from app.rules.changing import catch_up
    from app.rules.lists import Lists
    from app.store.open import open_store

    lists = Lists()
    with closing(open_store(settings_with({"database_url": database}).database_url, read_only=True)) as store:
        catch_up(store, lists)
    found = [
        one
        for one in lists.entries(int(datetime.now(UTC).timestamp() * 1e6))
        if name in (None, one.name) and column in (None, one.column)
    ]
    if not found:
        out.print("Nothing is listed. To list something: counterfoil lists add block merchant_id ID")
        return
    table = Table(box=None)
    for head in ("list", "column", "value", "since", "until", "by", "note"):
        table.add_column(head)
    for one in found:
        until = "no end" if one.until is None else _minute(one.until)
        texts = (one.name, one.column, one.value, _minute(one.at), until, one.by or "", one.note)
        table.add_row(*map(escape, texts))
    tables.print(table)


def _minute(micros: int) -> str:
    return f"{datetime.fromtimestamp(micros / 1e6, UTC):%Y-%m-%d %H:%M}"


def _change(
    name: ListChoice,
    column: str,
    values: list[str],
    until: str | None,
    note: str,
    by: str | None,
    where: tuple[str | None, str | None, Path | None],
    *,
    listed: bool,
) -> int:
    """How many values have changed."""
    from app.problems import Refused
    from app.pseudonyms import Pseudonyms
    from app.recording.startup import require_pseudonyms
    from app.rules.changing import change
    from app.rules.entries import changes, list_name
    from app.rules.lists import Lists
    from app.store.errors import StoreInUse
    from app.store.open import open_store
    from models.bundle import read_manifest

    model, database, artifacts = where
    settings = settings_with({"artifacts": artifacts, "database_url": database})
    manifest = read_manifest(registry_at(settings.artifacts).resolve(model or settings.model))
    schema = keyed(manifest.transaction_schema)
    pseudonyms = Pseudonyms.open(settings, schema)
    try:
        wanted = changes(
            schema,
            pseudonyms,
            list_name(name.value),
            column,
            values,
            listed=listed,
            until=until,
            by=by or operator(),
            note=note,
        )
    except Refused as refused:
        (problem,) = refused.errors
        raise InvalidInput(f"{problem.field}: {problem.message}") from None
    try:
        store = open_store(settings.database_url, durability=settings.durability)
    except StoreInUse as error:
        raise CounterfoilError(
            f"{error}. A service that runs changes its lists itself: POST /v1/lists/add, or /v1/lists/remove"
        ) from None
    with closing(store):
        require_pseudonyms(store.origin(), pseudonyms)
        return len(change(store, Lists(), wanted))
