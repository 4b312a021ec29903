"""The command line put together: every command in the order of the help, and every failure in one line."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

import typer
from rich.markup import escape

from cli.audit_sample import audit_sample
from cli.console import EXIT_ERROR, EXIT_INTERRUPTED, err
from cli.consume import consume
from cli.data import profile, simulate
from cli.demo import demo
from cli.drift import drift
from cli.evaluate import evaluate
from cli.keys import cli as keys_cli
from cli.lists import cli as lists_cli
from cli.log import export, purge, replay, warm
from cli.patience import patient_output
from cli.retrain import retrain
from cli.rules import cli as rules_cli
from cli.score import embed, score
from cli.serve import health, serve
from cli.shadow import shadow
from cli.spark import cli as spark_cli
from cli.threshold import threshold
from cli.train import train
from cli.users import cli as users_cli
from cli.versions import activate
from cli.versions import cli as versions_cli
from cli.webhooks import cli as webhooks_cli
from models.dependencies import count_alone
from models.errors import CounterfoilError

#: In the order of the help.
COMMANDS = (
    simulate,
    profile,
    train,
    score,
    embed,
    evaluate,
    serve,
    health,
    consume,
    demo,
    warm,
    replay,
    export,
    purge,
    retrain,
    shadow,
    audit_sample,
    drift,
    threshold,
    activate,
)

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Score card transactions by how unlike legitimate ones they are.\n\n"
    "First steps: [bold]counterfoil simulate[/] makes data, [bold]train[/] learns from it, [bold]score[/] marks a "
    "file, [bold]serve[/] answers over HTTP. Every command has --help with an example.",
)
for command in COMMANDS:
    cli.command()(command)
cli.add_typer(versions_cli, name="models")
cli.add_typer(keys_cli, name="keys")
cli.add_typer(lists_cli, name="lists")
cli.add_typer(rules_cli, name="rules")
cli.add_typer(users_cli, name="users")
cli.add_typer(webhooks_cli, name="webhooks")
cli.add_typer(spark_cli, name="spark")
_TRAINING_PACKAGES = {"torch", "sklearn", "scipy", "matplotlib"}


def main() -> None:
    """Run the command line; turn expected failures into one line on standard error."""
    _stopping.clear()
    count_alone()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with patient_output():
        _run()


def _run() -> None:
    try:
        try:
            cli(standalone_mode=True)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
            gc.freeze()  # else the end of the process looks through all that is left, for a tenth of a second
    except CounterfoilError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(EXIT_ERROR)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != EXIT_INTERRUPTED:  # Typer turns Ctrl-C into an exit code
            raise
        say_interrupted()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _TRAINING_PACKAGES:
            raise
        err.print("[bold red]error:[/] this command needs", error.name, end="; ")
        err.print("only training installs it; run the command where models are trained", markup=False)
        sys.exit(EXIT_ERROR)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        err.print(f"[bold red]error:[/] {escape(f'{where}{error.strerror or error}')}")
        sys.exit(EXIT_ERROR)
    except Exception:
        if not _stopping.is_set():
            raise
        say_interrupted()  # a library may have made an error of its own of it, as Numba does while it compiles


#: Set once the command was asked to stop.
_stopping = threading.Event()


def _stop(signum: int, frame: FrameType | None) -> None:
    _stopping.set()
    raise KeyboardInterrupt


def say_interrupted() -> NoReturn:
    err.print("Interrupted; nothing half-written was left behind.")
    sys.exit(EXIT_INTERRUPTED)
