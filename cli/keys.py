"""API keys: ``counterfoil keys create``, ``list``, ``revoke``."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli.console import err, out, tables
from cli.patience import delivered
from models.errors import CounterfoilError, InvalidInput

cli = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="API keys of the service: who may score, read, give feedback. Kept in $COUNTERFOIL_KEYS_FILE, by default "
    "keys.json; a running service takes over a change within a second.",
)
MOST_LIFETIME_SECONDS = 36_500 * 86_400  # of an API key


class KeyScope(enum.StrEnum):
    """:data:`app.access.keys.Scope`: Typer takes no list of a Literal."""

    score = "score"
    read = "read"
    feedback = "feedback"
    metrics = "metrics"
    admin = "admin"


@cli.command("create")
def create_key(
    client: Annotated[str, typer.Argument(help="Who gets it; recorded with what they send.", show_default=False)],
    scope: Annotated[
        list[KeyScope],
        typer.Option(help="What it may do; give it once for each. admin may do everything.", show_default=False),
    ],
    expires: Annotated[
        str | None, typer.Option(help="How long it is good, e.g. 90d. [dim]\\[default: for ever][/]")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Requests per second, 0 for no limit. [dim]\\[default: $COUNTERFOIL_RATE_LIMIT][/]"),
    ] = None,
) -> None:
    """Make an API key and print it: this once, it is kept nowhere.

    A client may have two live keys: make the new one, let the client change over, revoke the old one.

    Example: counterfoil keys create switch --scope score --scope feedback --expires 90d
    """
    from app.access import key_changes
    from app.access.keys import MOST_RATE
    from app.settings import load_settings

    if rate is not None and not 0 <= rate <= MOST_RATE:
        raise InvalidInput(f"--rate: expected a number from 0 to {MOST_RATE:g}")
    path = load_settings().keys_file
    made, secret = key_changes.create_key(
        path, client, [one.value for one in scope], lifetime=_lifetime(expires), rate=rate
    )
    until = f", until {made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else ""
    err.print(
        f"Key {made.id} of {made.client} in {path}: {', '.join(made.scopes)}{until}. Shown this once:", markup=False
    )
    print(secret)
    if not delivered():
        raise CounterfoilError(
            f"nobody read the key; take it back with 'counterfoil keys revoke {made.id}', then make another"
        )


@cli.command("list")
def list_keys() -> None:
    """List the API keys: whose they are and what they may do, never the keys themselves.

    Example: counterfoil keys list
    """
    from rich.table import Table

    from app.access.keys import read_keys
    from app.settings import load_settings

    path = load_settings().keys_file
    keys = read_keys(path)
    if not keys:
        out.print(f"No keys in {path}. To make one: counterfoil keys create CLIENT --scope score")
        return
    now = datetime.now(UTC)
    table = Table(box=None)
    for column in ("id", "client", "scopes", "created", "expires", "requests/s", ""):
        table.add_column(column)
    for key in keys:
        table.add_row(
            key.id,
            key.client,
            ", ".join(key.scopes),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never",
            "as set" if key.rate is None else f"{key.rate:g}" if key.rate else "no limit",
            "" if key.live(now) else "expired",
        )
    tables.print(table)


@cli.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As 'counterfoil keys list' shows it.")],
) -> None:
    """Take an API key back for good. A running service refuses it within a second.

    Example: counterfoil keys revoke 1f9c03ab
    """
    from app.access import key_changes
    from app.settings import load_settings

    revoked = key_changes.revoke_key(load_settings().keys_file, key_id)
    out.print(f"Revoked: key {revoked.id} of {revoked.client}")


def _lifetime(text: str | None) -> timedelta | None:
    from models.durations import duration_seconds

    if text is None:
        return None
    try:
        seconds = duration_seconds(text)
    except ValueError as error:
        raise InvalidInput(f"--expires: {error}") from None
    if not 0 < seconds <= MOST_LIFETIME_SECONDS:
        raise InvalidInput("--expires: expected more than 0 and at most 36500d")
    return timedelta(seconds=seconds)
