"""Data to train on: ``counterfoil simulate``, ``profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import out
from cli.options import InputArgument
from cli.say import say_guess
from models.errors import InvalidInput


def simulate(
    output: Annotated[Path, typer.Option("--out", help="Where to: .csv or .parquet.", show_default=False)],
    days: Annotated[int, typer.Option(help="Days of traffic.")] = 90,
    cards: Annotated[int, typer.Option(help="Cards, about one payment a day each.")] = 5_000,
    merchants: Annotated[int, typer.Option(help="Merchants.")] = 2_000,
    fraud_rate: Annotated[float, typer.Option(help="Share of the rows that are fraud, about.")] = 0.003,
    seed: Annotated[int, typer.Option(help="Same seed and options, same bytes.")] = 0,
    hold_out: Annotated[
        Path | None, typer.Option(help="Write the last days here instead: later payments of the same cards.")
    ] = None,
    hold_out_days: Annotated[int, typer.Option(help="How many days those are.", min=1)] = 2,
) -> None:
    """Make realistic card transactions with labelled fraud.

    Example: counterfoil simulate --out payments.csv --days 14
    """
    from training.simulate import SimulationConfig, last_days, write
    from training.simulate import simulate as simulate_frame

    config = SimulationConfig(days=days, cards=cards, merchants=merchants, fraud_rate=fraud_rate, seed=seed)
    frame = simulate_frame(config)
    parts = [(frame, output, days)]
    if hold_out is not None:
        if hold_out_days >= days:
            raise InvalidInput(f"--hold-out-days: expected fewer than the {days} days of --days")
        held = last_days(frame, config, hold_out_days)
        parts = [(frame[: frame.height - held.height], output, days - hold_out_days), (held, hold_out, hold_out_days)]
    for part, path, length in parts:
        write(part, path)
        fraud = int(part["is_fraud"].sum())
        share = f" ({fraud / part.height:.2%})" if part.height else ""
        out.print(f"{path}: {part.height:,} transactions of {cards:,} cards over {length} days, {fraud:,} fraud{share}")


def profile(
    data: InputArgument,
    output: Annotated[
        Path | None, typer.Option("--out", help="Where to. [dim]\\[default: DATA's name with .toml, here][/]")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The label column, if its name does not say so.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing profile.")] = False,
) -> None:
    """Guess what a table's columns mean and write a schema profile (TOML) to edit.

    Example: counterfoil profile payments.csv --out bank.toml
    """
    from models.aside import written_aside
    from training.profile import guess_profile

    guess = guess_profile(data, label=label)
    target = output or Path(data.name.split(".")[0] + ".toml")
    if target.exists() and not force:
        raise InvalidInput(f"{target}: exists already; give --out another name, or --force")
    with written_aside(target) as aside:
        aside.write_text(guess.schema.to_toml(), encoding="utf-8")
    say_guess(guess.notes, guess.left_out)
    out.print(f"Wrote {target}. Read it, correct it, then: counterfoil train {data} --profile {target}")
