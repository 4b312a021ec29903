"""``counterfoil consume``: transactions from Kafka or Redis Streams, scored by the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.opening import settings_with

_HERE = "[dim]\\[default: the service of this machine, $COUNTERFOIL_PORT or 8000][/]"


def consume(
    url: Annotated[
        str,
        typer.Argument(
            help="kafka://HOST:9092/TOPIC or redis://HOST:6379/STREAM (also rediss://).", show_default=False
        ),
    ],
    service: Annotated[str | None, typer.Option(help=f"URL of the service. {_HERE}")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="File with an API key of the scope score.", exists=True, dir_okay=False, readable=True),
    ] = None,
    group: Annotated[str, typer.Option(help="Workers of one group share the messages.")] = "counterfoil",
    name: Annotated[
        str | None,
        typer.Option(
            help="Of this worker in its group, one of its own: back under it, it goes on at once where it was. "
            "[dim]\\[default: none with Kafka, the host's name with Redis][/]"
        ),
    ] = None,
    results: Annotated[
        str | None, typer.Option(help="Topic or stream for the answers. [dim]\\[default: they are written nowhere][/]")
    ] = None,
    dead_letters: Annotated[
        str | None,
        typer.Option(help="Topic or stream for what can never be scored. [dim]\\[default: SOURCE-dead-letters][/]"),
    ] = None,
    field: Annotated[str, typer.Option(help="Redis: of an entry, that holds the transaction.")] = "transaction",
    claim_after: Annotated[
        float, typer.Option(min=1, help="Redis: seconds after which a silent worker's entries are taken over.")
    ] = 60,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Most messages of one request.")] = 500,
    reasons: Annotated[
        int | None, typer.Option(min=0, max=20, help="For each transaction. [dim]\\[default: as the service does][/]")
    ] = None,
    refused_in_a_row: Annotated[
        int, typer.Option(min=0, help="Stop after so many: it is the wrong topic or schema. 0: never.")
    ] = 100,
    broker_config: Annotated[
        Path | None,
        typer.Option(
            help="File of NAME=VALUE lines for the broker's client: user and password, TLS; with Kafka whatever "
            "librdkafka takes.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    metrics: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Show metrics for Prometheus there.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end of what there is now.")] = False,
) -> None:
    """Score the transactions of a Kafka topic or a Redis Stream: one JSON object a message, as POST /v1/score takes it.

    A message is acknowledged once its answer is recorded for good, so that none is lost; one that is read twice counts
    once, by its transaction id. While the service or the broker does not answer, the worker waits. It stops cleanly on
    SIGTERM and Ctrl-C, within 10 seconds.

    Example: counterfoil consume kafka://127.0.0.1:9092/payments --key-file worker.key --results scores
    """
    from app.address import url as address_of
    from app.consume.run import Options, run
    from app.telemetry import logs

    settings = settings_with({})
    logs.configure(settings.log_level, settings.log_format)
    run(
        Options(
            url=url,
            service=service or address_of(settings.host, settings.port),
            key_file=key_file,
            group=group,
            name=name,
            results=results,
            dead_letters=dead_letters,
            field=field,
            claim_after=claim_after,
            batch=batch,
            reasons=reasons,
            refused_in_a_row=refused_in_a_row,
            properties=broker_config,
            metrics=metrics,
            once=once,
        )
    )
