"""The command line put together: every command in the order of the help, and every failure in one line."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from cli.console import EXIT_ERROR, EXIT_INTERRUPTED, err
from cli.patience import patient_output
from models.dependencies import count_alone
from models.errors import CounterfoilError

#: The module of each command, in the order of the help; of a family of commands, where it ends with a dot.
_MODULES = {
    "simulate": "data",
    "profile": "data",
    "train": "train",
    "score": "score",
    "embed": "score",
    "evaluate": "evaluate",
    "serve": "serve",
    "health": "serve",
    "consume": "consume",
    "demo": "demo",
    "warm": "log",
    "replay": "log",
    "export": "log",
    "purge": "log",
    "retrain": "retrain",
    "shadow": "shadow",
    "audit-sample": "audit_sample",
    "drift": "drift",
    "threshold": "threshold",
    "activate": "versions",
    "models": "versions.",
    "keys": "keys.",
    "lists": "lists.",
    "rules": "rules.",
    "users": "users.",
    "webhooks": "webhooks.",
    "spark": "spark.",
}


class _Commands(Mapping[str, Any]):
    """Every command by its name, made when it is asked for: all of them take a fifth of a second."""

    def __getitem__(self, name: str) -> Any:
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class _Root(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """As of the class above, without making them."""
        return list(self.commands)


@cache
def _command(name: str) -> Any:
    module, family, _ = _MODULES[name].partition(".")
    holder, found = typer.Typer(rich_markup_mode="rich"), import_module(f"cli.{module}")
    if family:
        holder.add_typer(found.cli, name=name)
    else:
        holder.command()(getattr(found, name.replace("-", "_")))
    return typer.main.get_group(holder).commands[name]


cli = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Score card transactions by how unlike legitimate ones they are.\n\n"
    "First steps: [bold]counterfoil simulate[/] makes data, [bold]train[/] learns from it, [bold]score[/] marks a "
    "file, [bold]serve[/] answers over HTTP. Every command has --help with an example.",
)


@cli.callback()
def _root() -> None:
    pass


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
