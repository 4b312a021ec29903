"""``counterfoil audit-sample``: what to look at by hand, to know how much fraud goes unnoticed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.console import out
from cli.opening import registry_at, settings_with
from cli.options import ArtifactsOption, DatabaseOption, ModelOption
from models.errors import InvalidInput


def audit_sample(
    output: Annotated[
        Path,
        typer.Argument(
            help="Where to write those of the sample that have no label yet: CSV or Parquet.", show_default=False
        ),
    ],
    share: Annotated[float, typer.Option(help="Of what was approved.")] = 0.01,
    since: Annotated[
        str | None, typer.Option(help="Arrived then or later (ISO 8601), or in the last e.g. 30d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Arrived before then.")] = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Name a random share of the approved transactions to look at, and say what the labels of it tell.

    Label each of them, fraud or legitimate, by POST /v1/feedback. The same command then says which share of all fraud
    is alerted on, with an interval. It may run beside the service.

    Example: counterfoil audit-sample to-review.csv --share 0.01 --since 30d
    """
    from app.decisions.audit_sample import AuditSample, recall
    from app.decisions.export import write
    from app.decisions.options import filter_of
    from app.pseudonyms import Pseudonyms
    from app.store.open import open_store
    from models.bundle import read_manifest
    from models.tables import table_kind

    if not 0 < share <= 1:
        raise InvalidInput("--share: expected a share above 0 and at most 1, e.g. 0.01")
    table_kind(output, written=True)
    settings = settings_with({"artifacts": artifacts, "database_url": database})
    schema = read_manifest(registry_at(settings.artifacts).resolve(model or settings.model)).transaction_schema
    wanted = filter_of({"since": since, "until": until}, None, schema)
    secret = Pseudonyms.open(settings, schema).audit_key
    with closing(open_store(settings.database_url, read_only=True)) as store:
        sample = AuditSample(store, wanted, schema, share, secret)
        written = write(sample.open_frames(), output)
    counts = sample.counts
    out.print(f"{counts.approved:,} approved; {counts.alerts:,} alerts, {counts.alerts_fraud:,} of them fraud")
    out.print(
        f"  sample       {counts.sample:,} of the approved ({share:.2%}): {counts.sample_fraud:,} fraud; "
        f"{written.rows:,} still to be looked at: {output}"
    )
    found = recall(counts)
    value = "unknown" if found.value is None else f"{found.value:.1%}"
    out.print(f"  recall       {value} of all fraud is alerted on ({found.low:.1%} to {found.high:.1%})")
    if counts.sample_open or counts.alerts_open:
        out.print(
            f"               the interval counts what is not looked at yet as either: {counts.sample_open:,} of the "
            f"sample, {counts.alerts_open:,} alerts"
        )
