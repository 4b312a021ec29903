"""``counterfoil spark`` as it is documented, and where Spark is not installed."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from cli.main import cli as root
from tests.command_line import Cli, refused

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"


def _commands() -> list[list[str]]:
    """The words of each command in the page's blocks of shell."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("counterfoil ")]


def test_every_command_and_option_on_the_page_exists() -> None:
    commands = _commands()
    assert len(commands) >= 5
    for words in commands:
        command = typer.main.get_command(root)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_a_machine_without_spark_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("pyspark", "spark")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    message = "error: Spark's packages are not installed: pip install 'counterfoil[spark]'"
    features = ("spark", "features", "in", "--out", "out", "--profile")
    refused(cli(*features, "payments"), message)
    refused(cli(*features, "ulb"), "error: profile 'ulb' has no [entity] section")
    refused(cli("spark", "train-set", "in", "--out", "o", "--profile", "payments", "--share", "2"), "error: --share")
