"""Alerts to other systems: ``counterfoil webhooks add``, ``list``, ``rotate``, ``run`` and what else there is to do."""

from __future__ import annotations

import enum
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import err, out, tables
from cli.opening import settings_with
from cli.options import ArtifactsOption, DatabaseOption
from models.errors import CounterfoilError, InvalidInput

if TYPE_CHECKING:
    from app.webhooks.cursors import Cursor
    from app.webhooks.endpoints import Endpoint

cli = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Alerts sent to other systems as Standard Webhooks. Endpoints are kept in $COUNTERFOIL_WEBHOOKS_FILE, by "
    "default webhooks.json; [bold]run[/] takes over a change within a second.",
    rich_markup_mode="rich",
)
_MOST_KEPT = timedelta(days=365)
NameArgument = Annotated[str, typer.Argument(help="As 'counterfoil webhooks list' shows it.", show_default=False)]


class AlertChoice(enum.StrEnum):
    """:data:`app.webhooks.endpoints.AlertDecision`: Typer takes no list of a Literal."""

    review = "review"
    decline = "decline"


@cli.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it.", show_default=False)],
    url: Annotated[str, typer.Argument(help="Where it takes a POST.", show_default=False)],
    decision: Annotated[
        list[AlertChoice] | None, typer.Option(help="Send these alerts alone. [dim]\\[default: all][/]")
    ] = None,
    transaction: Annotated[
        bool, typer.Option("--transaction", help="Send the transaction too, as the log keeps it.")
    ] = False,
    allow_http: Annotated[bool, typer.Option("--allow-http", help="Let it be http, unencrypted.")] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Let it be in this network, or on this machine.")
    ] = False,
) -> None:
    """Add an endpoint and print the secret that its receiver verifies signatures with: this once.

    Example: counterfoil webhooks add queue https://cases.example/hooks
    """
    from app.webhooks.endpoint_changes import add_endpoint

    path = settings_with({}).webhooks_file
    added = add_endpoint(
        path,
        name,
        url,
        decisions=[one.value for one in decision or AlertChoice],
        transaction=transaction,
        allow_http=allow_http,
        allow_private=allow_private,
    )
    err.print(f"Endpoint {name} at {added.host} in {path}. Its secret, shown this once:", markup=False)
    print(added.secrets[0].secret)


@cli.command("list")
def list_endpoints() -> None:
    """List the endpoints and how far each has come; never their secrets, nor more of a URL than its host.

    Example: counterfoil webhooks list
    """
    from rich.table import Table

    from app.webhooks.cursors import Cursors
    from app.webhooks.endpoints import read_endpoints

    settings = settings_with({})
    endpoints = read_endpoints(settings.webhooks_file)
    if not endpoints:
        out.print(f"No endpoints in {settings.webhooks_file}. To add one: counterfoil webhooks add NAME URL")
        return
    cursors: dict[str, Cursor | None] = {}
    if settings.webhooks_cursors.is_file():
        with closing(Cursors(settings.webhooks_cursors, writes=False)) as file:
            cursors = {one.name: file.of(one.name) for one in endpoints}
    table = Table(box=None)
    for column in ("name", "host", "alerts", "delivered", "waiting", "state"):
        table.add_column(column)
    for one in endpoints:
        cursor = cursors.get(one.name)
        counts = (f"{cursor.delivered:,}", f"{len(cursor.open):,}") if cursor else ("0", "0")
        table.add_row(one.name, one.host, ", ".join(one.decisions), *counts, _state(one, cursor))
    tables.print(table)


@cli.command("test")
def test(name: NameArgument) -> None:
    """Send an event that is no alert, once; exit code 1 where the endpoint does not take it.

    Example: counterfoil webhooks test queue
    """
    import time

    from app.webhooks.endpoints import endpoint_named
    from app.webhooks.event import trial_event
    from app.webhooks.post import post

    outcome = post(endpoint_named(settings_with({}).webhooks_file, name), trial_event(), time.time())
    if outcome.why:
        raise CounterfoilError(f"{name}: {outcome.why}")
    out.print(f"{name}: answered {outcome.status}")


@cli.command("rotate")
def rotate(
    name: NameArgument,
    keep: Annotated[str, typer.Option(help="How long messages are signed with the secret before, too.")] = "24h",
) -> None:
    """Give an endpoint a new secret and print it: this once.

    Until the receiver has it, it goes on with the one before: each message carries both signatures.

    Example: counterfoil webhooks rotate queue --keep 7d
    """
    from app.webhooks.endpoint_changes import rotate_secret
    from models.durations import duration_seconds

    try:
        kept = timedelta(seconds=duration_seconds(keep))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"--keep: {error}") from None
    if not timedelta() <= kept <= _MOST_KEPT:
        raise InvalidInput("--keep: expected at most 365d")
    rotated = rotate_secret(settings_with({}).webhooks_file, name, kept)
    err.print(f"Endpoint {name} signs with a new secret, and for {keep} with the one before, too:", markup=False)
    print(rotated.secrets[0].secret)


@cli.command("enable")
def enable(name: NameArgument) -> None:
    """Send again to an endpoint that said 410 Gone, from where it stopped.

    Example: counterfoil webhooks enable queue
    """
    from app.webhooks.endpoint_changes import enable_endpoint

    enable_endpoint(settings_with({}).webhooks_file, name)
    out.print(f"Enabled: {name}")


@cli.command("remove")
def remove(name: NameArgument) -> None:
    """Take an endpoint out. One that is added under its name later goes on where this one stopped.

    Example: counterfoil webhooks remove queue
    """
    from app.webhooks.endpoint_changes import remove_endpoint

    remove_endpoint(settings_with({}).webhooks_file, name)
    out.print(f"Removed: {name}")


@cli.command("run")
def run(
    metrics: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Answer with metrics for Prometheus there.")
    ] = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Send alerts as the service records them, until stopped.

    A process of its own, to run beside the service, once for each store: it reads the log and keeps how far each
    endpoint has come in a file of its own ($COUNTERFOIL_WEBHOOKS_CURSORS). Started again, it goes on where it was.

    Example: counterfoil webhooks run --metrics 127.0.0.1:9464
    """
    import threading

    from app.store.open import open_store
    from app.telemetry import logs
    from app.webhooks.alert_log import AlertLog
    from app.webhooks.cursors import Cursors
    from app.webhooks.delivery import Delivery
    from app.webhooks.event import Events
    from app.webhooks.metrics import Metrics
    from app.webhooks.sender import send
    from models.bundle import read_manifest
    from models.registry import Registry

    settings = settings_with({"artifacts": artifacts, "database_url": database})
    registry, counted = Registry(settings.artifacts), Metrics()
    events = Events(registry, read_manifest(registry.resolve(settings.model)).transaction_schema)
    if metrics is not None:
        counted.serve(*_address(metrics))
    with (
        closing(open_store(settings.database_url, read_only=True)) as store,
        closing(Cursors(settings.webhooks_cursors, writes=True)) as cursors,
    ):
        log = AlertLog(store)
        logs.configure(settings.log_level, settings.log_format)
        out.print(f"Sending alerts to the endpoints of {settings.webhooks_file}; Ctrl-C stops it.")
        send(settings.webhooks_file, lambda one: Delivery(one, log, events, cursors, counted), threading.Event())


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise InvalidInput("--metrics: expected HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]"), int(port)


def _state(endpoint: Endpoint, cursor: Cursor | None) -> str:
    if cursor is None:
        return "not sent to yet"
    if cursor.gone_at is not None and cursor.gone_at >= endpoint.enabled_at.timestamp():
        return f"wants no more (410) since {_moment(cursor.gone_at)}"
    if cursor.failing and cursor.failing_since is not None:
        return f"failing since {_moment(cursor.failing_since)}: {cursor.failing}"
    return f"last delivered {_moment(cursor.delivered_at)}" if cursor.delivered_at else "nothing delivered yet"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
