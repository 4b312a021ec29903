"""The HTTP service: ``counterfoil serve``, and whether it is ready, ``counterfoil health``."""

from __future__ import annotations

from typing import Annotated

import typer

from app.store.contract import Durability, OnStoreFailure
from cli.console import EXIT_REJECTED, err, out
from cli.opening import settings_with
from cli.options import ArtifactsOption, DatabaseOption
from models.errors import CounterfoilError, InvalidInput

HostOption = Annotated[str | None, typer.Option(help="[dim]\\[default: $COUNTERFOIL_HOST or 127.0.0.1][/]")]
PortOption = Annotated[int | None, typer.Option(help="[dim]\\[default: $COUNTERFOIL_PORT or 8000][/]")]


def serve(
    host: HostOption = None,
    port: PortOption = None,
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
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; several need PostgreSQL or Redis.")] = 1,
    artifacts: ArtifactsOption = None,
) -> None:
    """Answer scoring requests over HTTP. Stops cleanly on SIGTERM and Ctrl-C.

    Example: counterfoil serve --port 9000
    """
    from app.server import run

    given = {"host": host, "port": port, "model": model, "artifacts": artifacts, "database_url": database}
    given |= {"durability": durability, "on_store_failure": on_store_failure}
    run(settings_with(given), workers)


def health(
    host: HostOption = None,
    port: PortOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.", min=0.1, max=60)] = 2,
) -> None:
    """Ask the service on this machine whether it is ready; exit code 1 if it is not, or does not answer.

    For health checks of containers. It goes straight to the service, whatever proxy the environment names.

    Example: counterfoil health --port 9000
    """
    from app.health import ask

    settings = settings_with({"host": host, "port": port})
    if settings.port == 0:
        raise InvalidInput("port 0 is any free port: name the one that the service says, with --port")
    try:
        answer = ask(settings.host, settings.port, timeout)
    except CounterfoilError as error:
        err.print(str(error), markup=False)
        raise typer.Exit(EXIT_REJECTED) from None
    out.print(answer.text)
    if not answer.ready:
        raise typer.Exit(EXIT_REJECTED)
