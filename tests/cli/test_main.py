"""The command line as a whole: from nothing to scores, help, and wrong usage in words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from models.registry import Registry
from models.schema import load_schema
from tests.command_line import Cli, refused

COMMANDS = ("simulate", "profile", "train", "score", "embed", "evaluate", "serve", "models", "activate")


def test_from_nothing_to_scores(cli: Cli) -> None:
    done = cli(
        "simulate", "--out", "p.csv", "--days", "7", "--cards", "60", "--merchants", "40", "--fraud-rate", "0.05"
    )
    assert done.code == 0
    rows = pl.read_csv(cli.folder / "p.csv").height
    assert done.out.startswith(f"p.csv: {rows:,} transactions of 60 cards over 7 days, ")

    done = cli("profile", "p.csv", "--out", "bank.toml")
    assert done.code == 0 and "Wrote bank.toml. Read it, correct it, then: counterfoil train p.csv" in done.out
    assert "label       is_fraud" in done.out
    guessed = load_schema(str(cli.folder / "bank.toml"))
    assert guessed.label == "is_fraud"

    done = cli("train", "p.csv", "--profile", "bank.toml", "--hidden", "8", "--members", "1", "--alert-rate", "0.05")
    assert done.code == 0, done.err
    [version] = Registry(cli.folder / "artifacts").versions()
    assert f"Model version {version}" in done.out and "This version is now active." in done.out
    report = re.search(r"report +(.+report\.html)", done.out)
    assert report and (cli.folder / report[1].strip()).read_text().lower().startswith("<!doctype html>")

    done = cli("models")
    assert re.search(rf"\* +{version}", done.out)

    done = cli("score", "p.csv", "--out", "scored.parquet", "--reasons", "2", "--state", "empty")
    assert done.code == 0, done.err
    scored = pl.read_parquet(cli.folder / "scored.parquet")
    alerts = int(scored["is_anomaly"].sum())
    assert done.out == f"scored.parquet: {rows:,} rows scored, {alerts:,} alerts ({alerts / rows:.2%})\n"
    assert scored["reason_1"].null_count() == 0

    done = cli("evaluate", "p.csv", "--json", "--state", "empty")
    figures = json.loads(done.out)
    assert (figures["model_version"], figures["rows"]) == (version, rows)
    assert figures["alert_rate"] == pytest.approx(alerts / rows)
    assert figures["roc_auc"] > 0.5
    assert f"{figures['roc_auc']:.3f}" in cli("evaluate", "p.csv", "--state", "empty").out

    done = cli("embed", "p.csv", "--out", "codes.csv", "--state", "empty")
    assert done.code == 0 and done.out == f"codes.csv: {rows:,} rows\n"
    assert "code_1" in pl.read_csv(cli.folder / "codes.csv").columns

    assert cli("activate", version).out == f"Active: {version}\n"


USAGE: list[list[str]] = [
    ["train"],
    ["score", "t.csv"],
    ["score", "t.csv", "--out", "o.csv", "--reasons", "21"],
    ["train", "t.csv", "--architecture", "wide"],
    ["train", "t.csv", "--error", "cosine"],
    ["train", "t.csv", "--seed", "-1"],
    ["train", "t.csv", "--seed", "99999999999999999999"],
    ["train", "t.csv", "--members", "two"],
    ["score", "t.csv", "--out", "o.csv", "--on-error", "ignore"],
    ["fly"],
]


@pytest.mark.parametrize("arguments", USAGE)
def test_wrong_usage_shows_the_usage(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert "Usage: " in done.err and "Traceback" not in done.err


def test_a_wrong_setting_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, tiny_csv: Path) -> None:
    monkeypatch.setenv("COUNTERFOIL_PORT", "hunter2")
    done = cli("score", tiny_csv, "--out", "o.csv")
    refused(done, "error: ")
    assert "COUNTERFOIL_PORT" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(cli: Cli, command: str) -> None:
    done = cli(command, "--help")
    assert done.code == 0
    assert re.search(rf"Example: .*counterfoil {command}\b", done.out, re.DOTALL)


def test_help_names_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    assert all(command in done.out for command in COMMANDS)
