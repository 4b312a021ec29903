"""Data to train on: ``counterfoil simulate``, ``profile``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import EXIT_REJECTED, advance, err, out, progress
from cli.say import say_guess
from models.errors import InvalidInput

if TYPE_CHECKING:
    from models.schema import TransactionSchema


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
    data: Annotated[
        list[str], typer.Argument(help="Files, folders or globs of one table: CSV, JSON lines, Parquet, Excel.")
    ],
    output: Annotated[
        Path | None, typer.Option("--out", help="Where to. [dim]\\[default: DATA's name with .toml, here][/]")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The label column, if its name does not say so.")] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask about every guess that is doubtful.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; read the whole table and count what a profile would refuse."),
    ] = False,
    checked: Annotated[
        str | None,
        typer.Option(
            "--profile",
            help="With --check: a shipped profile or a file. [dim]\\[default: DATA's name with .toml, else a guess][/]",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing profile.")] = False,
) -> None:
    """Guess what a table's columns mean and write a schema profile (TOML) to edit; or check a table against one.

    The names of the columns and the first 50,000 rows are looked at. Each guess stands under a comment that says how
    sure it is (sure, likely, doubtful) and what spoke for it. With --check, exit code 1 if a row would be refused.

    Example: counterfoil profile payments.csv --out bank.toml, correct it, then
    counterfoil profile payments.csv --check --profile bank.toml
    """
    from models.aside import written_aside
    from models.tables import expand
    from training.guess import guess_profile

    files = expand(data)
    target = output or Path(files[0].name.split(".")[0] + ".toml")
    if check:
        _check(files, checked or (str(target) if target.exists() else None), label)
        return
    if checked is not None:
        raise InvalidInput("--profile goes with --check")
    if target.exists() and not force:
        raise InvalidInput(f"{target}: exists already; give --out another name, or --force")
    guess = guess_profile(files, label=label, ask=_Questions() if interactive else None)
    with written_aside(target) as aside:
        aside.write_text(guess.to_toml(), encoding="utf-8")
    say_guess(guess)
    out.print(f"Wrote {target}. Read it, correct it, then: counterfoil train {' '.join(data)} --profile {target}")


class _Questions:
    """Asks on the terminal, again until the answer is one; the default is taken where nothing is typed."""

    def choose(self, question: str, answers: list[str]) -> str:
        while True:
            given: str = typer.prompt(f"{question} ({', '.join(answers)})", default=answers[0], err=True)
            for answer in answers:
                if given.strip().lower() == answer.lower():
                    return answer
            err.print(f"expected one of {', '.join(answers)}", markup=False)

    def number(self, question: str, default: float) -> float:
        while True:
            given: str = typer.prompt(question, default=f"{default:g}", err=True)
            try:
                if 0 < float(given) < math.inf:
                    return float(given)
            except ValueError:
                pass
            err.print("expected a number above zero", markup=False)


def _check(files: list[Path], profile: str | None, label: str | None) -> None:
    """Say what of each file a profile would refuse."""
    from models.schema import load_schema
    from training.guess import guess_profile

    schema = load_schema(profile) if profile else guess_profile(files, label=label).schema
    refused = [_check_one(schema, file, profile or "a guess") for file in files]
    if any(refused):
        raise typer.Exit(EXIT_REJECTED)


def _check_one(schema: TransactionSchema, data: Path, profile: str) -> int:
    """How many rows of a file would be refused; says why, and what else it holds."""
    from models.times import iso_text
    from training.check import check_table

    with progress() as bars:
        task = bars.add_task("checking", total=None)
        found = check_table(schema, data, advance(bars, task))
    out.print(f"{data} against {profile}: {found.rows:,} rows, {found.refused:,} would be refused")
    for (column, cause), refusals in sorted(found.refusals.items(), key=lambda item: -item[1].rows):
        lines = ", ".join(f"{line:,}" for line in refusals.lines)
        more = ", …" if refusals.rows > len(refusals.lines) else ""
        where = f"{found.row_word}{'s' if refusals.rows > 1 else ''} {lines}{more}"
        out.print(f"  {column or '(row)'}: {refusals.rows:,} × {cause} ({where})")
    if found.first is not None and found.last is not None and not schema.elapsed:
        out.print(f"  time         {iso_text(found.first)} to {iso_text(found.last)}")
    if found.unordered:
        out.print(f"  order        {found.unordered:,} rows are earlier than the row before; they are sorted by time")
    if schema.label:
        unknown = found.rows - found.refused - found.fraud - found.legitimate
        out.print(f"  label        {found.fraud:,} fraud, {found.legitimate:,} legitimate, {unknown:,} unknown")
    return found.refused
