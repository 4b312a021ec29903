"""``counterfoil train``: from a history to a published model version."""

from __future__ import annotations

import enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import EXIT_NOT_ACTIVATED, advance, err, out, progress
from cli.opening import activate_and_say, keyed, registry_at, require_label, say_cache_trouble
from cli.options import (
    AlertRateOption,
    AlertsPerDayOption,
    DeclineAlertRateOption,
    DeclineMinPrecisionOption,
    MaxCostOption,
    MinPrecisionOption,
    MinRecallOption,
    MissedFraudOption,
)
from cli.policies import DEFAULT_ALERT_RATE, chosen_policy, decline_policy
from cli.say import say_guess, say_trained, why_not_activated
from models.dependencies import started_rank
from models.errors import InvalidInput

if TYPE_CHECKING:
    from models.schema import TransactionSchema
    from training.optimise import FitProgress
    from training.read import History


class Architecture(enum.StrEnum):
    undercomplete = "undercomplete"
    overcomplete = "overcomplete"
    convolutional = "convolutional"


class ErrorKind(enum.StrEnum):
    whitened = "whitened"
    euclidean = "euclidean"


class Labels(enum.StrEnum):
    ignore = "ignore"
    use = "use"


def train(
    context: typer.Context,
    data: Annotated[
        list[str], typer.Argument(help="Files or globs: CSV (also .gz, .zst), Parquet.", show_default=False)
    ],
    profile: Annotated[
        str | None,
        typer.Option(help="payments, ulb, handbook, or a profile file. [dim]\\[default: guessed, and said][/]"),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label column (1 = fraud), instead of the profile's.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--artifacts",
            help="Folder of the model versions. [dim]\\[default: $COUNTERFOIL_ARTIFACTS or artifacts][/]",
        ),
    ] = None,
    alert_rate: AlertRateOption = None,
    alerts_per_day: AlertsPerDayOption = None,
    min_precision: MinPrecisionOption = None,
    min_recall: MinRecallOption = None,
    max_cost: MaxCostOption = None,
    missed_fraud: MissedFraudOption = None,
    decline_alert_rate: DeclineAlertRateOption = None,
    decline_min_precision: DeclineMinPrecisionOption = None,
    code_size: Annotated[
        int | None, typer.Option(help="Width of the code. [dim]\\[default: 3/4 of the inputs][/]")
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Widths of the hidden layers, e.g. 128 or 128,64. [dim]\\[default: 128][/]"),
    ] = None,
    members: Annotated[int | None, typer.Option(help="Autoencoders in the ensemble. [dim]\\[default: 4][/]")] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="Noise added to the inputs in training (denoising). [dim]\\[default: 0.3][/]"),
    ] = None,
    architecture: Annotated[
        Architecture, typer.Option(help="overcomplete needs noise above 0, convolutional a --grid.")
    ] = Architecture.undercomplete,
    grid: Annotated[
        str | None, typer.Option(help="Rows and columns that the numeric columns are, row by row, e.g. 8,8.")
    ] = None,
    error: Annotated[ErrorKind, typer.Option(help="How residuals become an error.")] = ErrorKind.whitened,
    labels: Annotated[
        Labels,
        typer.Option(
            help="[bold]use[/]: trees learn from known fraud, too, and serve if the alerts get better with them."
        ),
    ] = Labels.ignore,
    novel_share: Annotated[
        float,
        typer.Option(help="With --labels use: share of the alerts for what is unusual, whatever the labels say."),
    ] = 0.3,
    label_delay: Annotated[
        str | None, typer.Option(help="How late labels arrive, e.g. 7d. [dim]\\[default: the profile's][/]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same data, seed and machine: the same model.", min=0, max=2**32 - 1)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    activate: Annotated[bool, typer.Option("--activate/--no-activate", help="Serve the new version.")] = True,
    force: Annotated[
        bool,
        typer.Option("--force", help="Activate it even where its alerts are ten times as many or as few as promised."),
    ] = False,
) -> None:
    """Train on legitimate transactions and publish a model version.

    The last fifth of the rows in time is the test part, read once; the rows before it calibrate the score.

    `torchrun --nproc-per-node 2 --no-python counterfoil train …` trains one model in two processes.

    Exit code 3 if the version was published and not activated, since its alerts are far from what was promised.

    Example: counterfoil train history/*.csv.gz --profile bank.toml --alert-rate 0.002
    """
    from models.tables import expand
    from models.thresholds import Policy

    out.quiet = err.quiet = started_rank() > 0  # the first one speaks for all
    policy = chosen_policy(alert_rate, alerts_per_day, min_precision, min_recall, max_cost, missed_fraud)
    decline = decline_policy(decline_alert_rate, decline_min_precision)
    files = expand(data)
    named = _named(profile)
    # What can be wrong up to here is said at once: this brings torch, which takes seconds.
    from training.draw import read_for_training
    from training.fit import FitOptions
    from training.ranks import started_by_torchrun
    from training.train import TrainingJob, help_training
    from training.train import train as run_training

    ranks = context.with_resource(started_by_torchrun(device))
    schema = keyed(_schema(named, files, label))
    given: dict[str, Any] = {"code_size": code_size, "members": members, "noise": noise}
    if hidden is not None:
        given["hidden"] = _widths(hidden)
    if grid is not None:
        given["grid"] = _grid(grid)
    say_cache_trouble(schema)
    options = FitOptions(
        architecture=architecture.value,
        error=error.value,
        **{name: value for name, value in given.items() if value is not None},
    )
    registry = registry_at(output)
    with progress("loss") as bars:
        reading = bars.add_task("reading", total=None, loss="")
        history = read_for_training(
            schema,
            files,
            seed=seed,
            progress=advance(bars, reading),
            on_stage=lambda name: bars.update(reading, description=name, completed=0, total=None),
        )
        bars.remove_task(reading)
        registry.prepare()
        task = bars.add_task("training", total=None, loss="")

        def step(state: FitProgress) -> None:
            loss = f"loss {state.loss:.4f} held-in {state.held_in_loss:.4f} rate {state.learning_rate:.1e}"
            bars.update(task, total=state.steps, completed=state.step, loss=loss)

        def stage(name: str) -> None:
            bars.update(task, description=name)

        job = TrainingJob(
            schema=schema,
            fit=options,
            policy=policy or Policy(name="alert-rate", value=DEFAULT_ALERT_RATE),
            decline=decline,
            label_delay=label_delay,
            labels=labels.value,
            novel_share=novel_share,
            seed=seed,
            device=device,
        )
        _say_history(schema, history)
        if ranks.rank:
            help_training(job, history, ranks)
            raise typer.Exit
        manifest, folder = run_training(job, history, registry, ranks=ranks, on_progress=step, on_stage=stage)
        bars.remove_task(task)
    why = None if force or not activate else why_not_activated(manifest)
    said = partial(say_trained, manifest, folder, schema.cycles)
    activate_and_say(registry, manifest.version, activate and why is None, said)
    if why is not None:
        err.print(f"NOT activated: {why}. Look at the report before you do.", markup=False)
        raise typer.Exit(EXIT_NOT_ACTIVATED)


def _say_history(schema: TransactionSchema, history: History) -> None:
    """What is worth knowing of the rows before hours of training."""
    if history.reordered:
        out.print("The rows were not in the order of time: sorted, since the latest are for calibration and test.")
    if schema.behaviour and history.drawn is not None and not history.drawn.states:
        out.print(
            "The version comes without the states of cards and merchants: a service knows none of them until they are "
            "loaded with counterfoil warm."
        )
    if not history.labelled:
        out.print("No labels: every row is taken for legitimate, and detection cannot be measured.")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput("--hidden: expected whole numbers separated by commas, e.g. 128,64") from None


def _grid(text: str) -> tuple[int, int]:
    try:
        rows, columns = (int(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput("--grid: expected two whole numbers separated by a comma, e.g. 8,8") from None
    return rows, columns


def _named(profile: str | None) -> TransactionSchema | None:
    from models.schema import load_schema

    return None if profile is None else load_schema(profile)


def _schema(named: TransactionSchema | None, files: list[Path], label: str | None) -> TransactionSchema:
    """The profile that is named, or a guess from the files, said in words."""
    if named is None:
        from training.guess import guess_profile

        guess = guess_profile(files, label=label)
        out.print("No --profile given; guessed from the data:")
        say_guess(guess)
        schema = guess.schema
    else:
        schema = named if label is None else named.with_label(label)
    if label is not None:
        require_label(schema, files, label)
    return schema
