"""``counterfoil serve``: the HTTP service."""

from __future__ import annotations

from typing import Annotated

import typer

from app.store.contract import Durability, OnStoreFailure
from cli.opening import settings_with
from cli.options import ArtifactsOption, DatabaseOption


def serve(
    host: Annotated[str | None, typer.Option(help="[dim]\\[default: $COUNTERFOIL_HOST or 127.0.0.1][/]")] = None,
    port: Annotated[int | None, typer.Option(help="[dim]\\[default: $COUNTERFOIL_PORT or 8000][/]")] = None,
    model: Annotated[
        str | None, typer.Option(help="A version's name or folder. [dim]\\[default: the active version][/]")
    ] = None,
    database: DatabaseOption = None,
    durability: Annotated[
        Durability | None,
        typer.Option(
            help="What a power cut can cost: [bold]full[/] nothing that was answered, [bold]normal[/] the last "
            "moments. [dim]\\[default: $COUNTERFOIL_DURABILITY or full][/]"
        ),
    ] = None,
    on_store_failure: Annotated[
        OnStoreFailure | None,
        typer.Option(
            help="While the store takes no writes: [bold]refuse[/] transactions, or [bold]score[/] them unrecorded. "
            "[dim]\\[default: $COUNTERFOIL_ON_STORE_FAILURE or refuse][/]"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; several need a redis:// store.")] = 1,
    artifacts: ArtifactsOption = None,
) -> None:
    """Answer scoring requests over HTTP. Stops cleanly on SIGTERM and Ctrl-C.

    Example: counterfoil serve --port 9000
    """
    from app.server import run

    given = {"host": host, "port": port, "model": model, "artifacts": artifacts, "database_url": database}
    given |= {"durability": durability, "on_store_failure": on_store_failure}
    run(settings_with(given), workers)
