"""The decision log, from the side: ``counterfoil warm``, ``replay``, ``export``, ``purge``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.console import EXIT_REJECTED, advance, out, progress
from cli.opening import open_scorer, registry_at, settings_with
from cli.options import ArtifactsOption, CardOption, DatabaseOption, EntityOption, ModelOption
from models.errors import InvalidInput


def warm(
    data: Annotated[
        list[str] | None, typer.Argument(help="Files or globs: CSV (also .gz, .zst), Parquet.", show_default=False)
    ] = None,
    states: Annotated[
        Path | None,
        typer.Option(help="In place of files: a folder that [bold]counterfoil spark --states-out[/] wrote."),
    ] = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Load history into the store before the first request, so that no card is new to the service.

    The service must not be running, and must not have recorded anything. By itself it begins with the states after the
    model's last training row; rows that are all later than that go on from there, others replace it.

    Example: counterfoil warm october/*.csv
    """
    from app.recording.warm import warm as warm_store
    from app.recording.warm import warm_with_states
    from models.clock import AHEAD
    from models.tables import expand

    if bool(data) == (states is not None):
        raise InvalidInput("say what to load: files of transactions, or --states and a folder")
    files = expand(data or [])
    settings = settings_with({"artifacts": artifacts, "database_url": database})
    scorer = open_scorer(model, artifacts)
    if states is not None:
        loaded = warm_with_states(settings, scorer, states)
        out.print(f"{loaded:,} cards, merchants and others known, in place of the model's own snapshot")
        return
    with progress() as bars:
        task = bars.add_task("reading", total=None)
        warmed = warm_store(settings, scorer, files, advance(bars, task))
    onto = "on top of the model's own snapshot" if warmed.onto_snapshot else "in place of the model's own snapshot"
    if warmed.ahead:
        out.print(f"{warmed.ahead:,} rows left out: {AHEAD}")
    out.print(f"{warmed.rows:,} transactions loaded, {onto}: {warmed.entities:,} cards, merchants and others known")


def replay(
    transaction: Annotated[
        str | None, typer.Argument(help="Id of one transaction to reproduce.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Check every decision since this time (ISO 8601) or of the last e.g. 7d.")
    ] = None,
    reasons: Annotated[
        int | None,
        typer.Option(
            help="Check nothing; print so many reasons of the transaction, whatever was asked for then. Without ids, "
            "its place in the order of arrival is its name.",
            min=1,
            max=20,
        ),
    ] = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Recompute served decisions from the log: features, score and reasons must come out as they were answered.

    May run beside the service. Exit code 1 if anything differs.

    Example: counterfoil replay --since 1d, or: counterfoil replay tx-1, or: counterfoil replay tx-1 --reasons 5
    """
    from app.decisions.later_reasons import later_reasons
    from app.decisions.options import moment_of
    from app.decisions.query import find
    from app.recording.check_log import LogCheck
    from app.store.open import open_store
    from models.bundle import read_manifest

    if (transaction is None) == (since is None):
        raise InvalidInput("name a transaction, or --since a time, e.g. --since 7d")
    if reasons is not None and transaction is None:
        raise InvalidInput("--reasons: of which transaction? Name one in place of --since")
    settings = settings_with({"artifacts": artifacts, "database_url": database})
    start = moment_of(since, "--since") if since is not None else 0
    registry = registry_at(settings.artifacts)
    store = open_store(settings.database_url, read_only=True)
    try:
        if transaction is not None and reasons is not None:
            schema = read_manifest(registry.resolve(model or settings.model)).transaction_schema
            recorded = find(store, schema, transaction)
            if recorded is None:
                raise InvalidInput("no transaction with this id is recorded")
            for one in later_reasons(recorded.decision, registry, reasons):
                out.print(one.text)
            return
        check = LogCheck(store, registry, open_scorer(model, artifacts))
        if transaction is not None:
            decision, checked, features = check.one(transaction)
            print(decision.reply.decode())
            for name, value in features.items():
                out.print(f"  {name:<40} {value:.17g}")
        else:
            with progress() as bars:
                task = bars.add_task("checking", total=store.last_seq())
                checked = check.all(start, lambda seq: bars.update(task, completed=seq))
    finally:
        store.close()
    out.print(f"{checked.decisions:,} decisions recomputed, {len(checked.mismatches):,} differ")
    for reason, count in checked.skipped.items():
        out.print(f"  {count:,} not recomputed: {reason}")
    for mismatch in checked.mismatches:
        out.print(f"  {mismatch.transaction_id or mismatch.seq}: {', '.join(mismatch.what)} differ")
    if checked.mismatches:
        raise typer.Exit(EXIT_REJECTED)


def export(
    output: Annotated[Path, typer.Argument(help="CSV (also .gz, .zst) or Parquet.", show_default=False)],
    since: Annotated[str | None, typer.Option(help="Arrived then or later (ISO 8601), or in the last e.g. 7d.")] = None,
    until: Annotated[str | None, typer.Option(help="Arrived before then.")] = None,
    decision: Annotated[str | None, typer.Option(help="approve, review or decline.")] = None,
    is_anomaly: Annotated[str | None, typer.Option(help="true: at or above the threshold; false: below.")] = None,
    min_score: Annotated[str | None, typer.Option(help="This score or more.")] = None,
    card: CardOption = None,
    entity: EntityOption = None,
    label: Annotated[str | None, typer.Option(help="Latest label: fraud, legitimate or disputed.")] = None,
    model_version: Annotated[str | None, typer.Option(help="The version that scored.")] = None,
    caller: Annotated[str | None, typer.Option(help="Who asked.")] = None,
    transactions: Annotated[
        bool,
        typer.Option(
            "--transactions",
            help="Not the decisions but the transactions, oldest first, as a table of the profile's own columns, label "
            "included: what [bold]train[/], [bold]evaluate[/], [bold]score[/] and [bold]warm[/] read.",
        ),
    ] = False,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Write recorded decisions to a file, newest first. May run beside the service.

    In a CSV, a text that a spreadsheet would take for a formula stands behind an apostrophe.

    Example: counterfoil export alerts.csv --since 7d --is-anomaly true, or: export all.parquet --transactions
    """
    from app.decisions.export import frames, write
    from app.decisions.options import filter_of, named_entity
    from app.decisions.transactions import transaction_frames
    from app.pseudonyms import Pseudonyms
    from app.recording.startup import require_pseudonyms
    from app.store.open import open_store
    from models.bundle import read_manifest
    from models.tables import table_kind

    table_kind(output, written=True)
    settings = settings_with({"artifacts": artifacts, "database_url": database})
    schema = read_manifest(registry_at(settings.artifacts).resolve(model or settings.model)).transaction_schema
    given = {"since": since, "until": until, "decision": decision, "is_anomaly": is_anomaly, "min_score": min_score}
    given |= {"label": label, "model_version": model_version, "caller": caller}
    pseudonyms = Pseudonyms.open(settings, schema)
    wanted = filter_of(given, named_entity(card, entity), schema, pseudonyms)
    with closing(open_store(settings.database_url, read_only=True)) as store:
        if wanted.entities:
            require_pseudonyms(store.origin(), pseudonyms)
        written = write((transaction_frames if transactions else frames)(store, wanted, schema), output)
    out.print(f"{output}: {written.rows:,} {'transactions' if transactions else 'decisions'}")
    if transactions and written.quoted:
        out.print(f"  {written.quoted:,} texts stand behind an apostrophe, not as they were sent: Parquet keeps them")


def purge(
    before: Annotated[
        str | None, typer.Option(help="Erase what arrived before this time (ISO 8601), or longer ago than e.g. 400d.")
    ] = None,
    card: CardOption = None,
    entity: EntityOption = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Erase old decisions, or all of one card, merchant or other entity: decisions, labels and states.

    What remains goes on as if nothing had been erased. Broken off, the same command again finishes. A running service
    erases by POST /v1/purge; on Redis this command may run beside it, too. Backups and the states beside the model
    versions are yours to erase.

    Example: counterfoil purge --before 400d, or: counterfoil purge --card card-000106
    """
    from app.decisions.options import key_of, moment_of, named_entity
    from app.decisions.purge import purge_store
    from app.pseudonyms import Pseudonyms

    named = named_entity(card, entity)
    if (before is None) == (named is None):
        raise InvalidInput("say what to erase: --before a time, or --card or --entity one of them")
    settings = settings_with({"artifacts": artifacts, "database_url": database})
    scorer = open_scorer(model, artifacts)
    pseudonyms = Pseudonyms.open(settings, scorer.schema)
    key = None if named is None else key_of(*named, scorer.schema, pseudonyms)
    moment = None if before is None else moment_of(before, "--before")
    if moment is not None and moment > moment_of("0s", "--before"):
        raise InvalidInput("--before: in the future")
    purged = purge_store(settings, scorer, pseudonyms, moment, key)
    out.print(f"{purged.decisions:,} decisions erased, with their labels")
    if purged.compacted:
        out.print(f"Decisions up to place {purged.compacted:,} can no longer be recomputed by 'counterfoil replay'.")
    if not purged.scrubbed:
        out.print(
            "Bytes of it may be left in the store's files. SQLite: a reader keeps an older state open, end it. Redis:"
        )
        out.print("have the server rewrite its files, BGREWRITEAOF and BGSAVE. Then run this again.")
        raise typer.Exit(EXIT_REJECTED)
