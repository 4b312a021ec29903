"""``counterfoil shadow``: up to three challengers decide what is recorded, beside the service and without a word."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from cli.console import out
from cli.opening import say_cache_trouble, settings_with
from cli.options import ArtifactsOption, DatabaseOption


def shadow(
    versions: Annotated[
        list[str], typer.Argument(help="One to three of them, as 'counterfoil models' lists them.", show_default=False)
    ],
    once: Annotated[bool, typer.Option("--once", help="Stop at the end of the log.")] = False,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Let versions decide what the service has recorded and goes on to record, for nobody but those who ask.

    A process of its own, to run beside the service: it reads the log and keeps what it finds in a file of its own
    ($COUNTERFOIL_SHADOW_FILE), so that no answer depends on it. What was recorded before the versions were trained is
    left out. Started again, it goes on where it was. 'counterfoil models shadow VERSION' says what it found.

    Example: counterfoil shadow 20260131T081500Z-1a2b3c4d
    """
    from app.shadow.follow import challengers, follow, yield_to_others
    from app.shadow.results import Results
    from app.store.open import open_store
    from app.telemetry import logs

    settings = settings_with({"artifacts": artifacts, "database_url": database})
    yield_to_others()
    with (
        closing(open_store(settings.database_url, read_only=True)) as store,
        closing(Results(settings.shadow_file, writes=True)) as results,
    ):
        some = challengers(settings, versions, store)
        say_cache_trouble(some[0].schema)
        logs.configure(settings.log_level, settings.log_format)
        read = 0

        def add(events: int) -> None:
            nonlocal read
            read += events

        if not once:
            out.print(f"Shadowing into {settings.shadow_file}; Ctrl-C stops it.")
        follow(some, store, results, once=once, progress=add)
        out.print(f"{read:,} events read by {len(some)}; 'counterfoil models shadow VERSION' says what was found")
