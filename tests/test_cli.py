"""The command line end to end on tiny data, and every wrong input with its one clear message."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from models.registry import Registry
from models.schema import TransactionSchema, load_schema
from tests.command_line import Cli, Result

COMMANDS = ("simulate", "profile", "train", "score", "embed", "evaluate", "serve", "models", "activate")


@pytest.fixture(scope="module")
def profile(tiny_schema: TransactionSchema, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny schema as a profile file."""
    path = tmp_path_factory.mktemp("profile") / "tiny.toml"
    path.write_text(tiny_schema.to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Path:
    """The tiny version, active."""
    monkeypatch.setenv("COUNTERFOIL_ARTIFACTS", str(tiny_model.parent))
    return tiny_model


# The three jobs


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

    done = cli("score", "p.csv", "--out", "scored.parquet", "--reasons", "2")
    assert done.code == 0
    scored = pl.read_parquet(cli.folder / "scored.parquet")
    alerts = int(scored["is_anomaly"].sum())
    assert done.out == f"scored.parquet: {rows:,} rows scored, {alerts:,} alerts ({alerts / rows:.2%})\n"
    assert scored["reason_1"].null_count() == 0

    done = cli("evaluate", "p.csv", "--json")
    figures = json.loads(done.out)
    assert (figures["model_version"], figures["rows"]) == (version, rows)
    assert figures["alert_rate"] == pytest.approx(alerts / rows)
    assert figures["roc_auc"] > 0.5
    assert f"{figures['roc_auc']:.3f}" in cli("evaluate", "p.csv").out

    done = cli("embed", "p.csv", "--out", "codes.csv")
    assert done.code == 0 and done.out == f"codes.csv: {rows:,} rows\n"
    assert "code_1" in pl.read_csv(cli.folder / "codes.csv").columns

    assert cli("activate", version).out == f"Active: {version}\n"


def test_without_a_profile_it_guesses_and_without_activate_it_does_not(cli: Cli, tiny_csv: Path) -> None:
    done = cli(
        "train", tiny_csv, "--hidden", "4", "--members", "1", "--no-activate", "--out", "elsewhere", "--code-size", "2"
    )
    assert done.code == 0, done.err
    assert done.out.startswith("No --profile given; guessed from the first file:\n")
    registry = Registry(cli.folder / "elsewhere")
    [version] = registry.versions()
    assert registry.active() is None
    assert f"Not active. To serve it: counterfoil activate {version}" in done.out
    done = cli("embed", tiny_csv, "--out", "codes.csv", "--model", str(registry.root / version))
    assert [name for name in pl.read_csv(cli.folder / "codes.csv").columns if name.startswith("code_")] == [
        "code_1", "code_2",
    ]  # fmt: skip


def test_a_rejected_row_is_listed_and_the_exit_code_says_so(cli: Cli, model: Path, tiny_csv: Path) -> None:
    lines = tiny_csv.read_text().splitlines()
    lines[4] = lines[4].replace("EUR", "USD")
    (cli.folder / "bad.csv").write_text("\n".join(lines) + "\n")
    done = cli("score", "bad.csv", "--out", "out.csv", "--on-error", "reject")
    assert done.code == 1
    assert done.err.endswith("1 rows rejected: see out.csv.rejects.csv")
    assert (cli.folder / "out.csv.rejects.csv").read_text().splitlines()[1].startswith("5,currency,")
    assert pl.read_csv(cli.folder / "out.csv").height == len(lines) - 2
    (cli.folder / "out.csv").unlink()
    done = cli("score", "bad.csv", "--out", "out.csv")
    assert done.code == 2
    assert done.err == "error: bad.csv: line 5: currency: expected EUR, the only currency this profile knows"
    assert not (cli.folder / "out.csv").exists()


@pytest.mark.parametrize("form", ["bom", "semicolons", "crlf", "quoted newlines", "gz", "parquet", "no label"])
def test_unusual_but_right_tables_score_the_same(
    cli: Cli, model: Path, tiny_csv: Path, tiny_frame: pl.DataFrame, form: str
) -> None:
    source = cli.folder / {"gz": "t.csv.gz", "parquet": "t.parquet"}.get(form, "t.csv")
    text = tiny_csv.read_text()
    match form:
        case "bom":
            source.write_bytes(b"\xef\xbb\xbf" + text.encode())
        case "semicolons":
            source.write_text(text.replace(",", ";"))
        case "crlf":
            source.write_bytes(text.replace("\n", "\r\n").encode())
        case "quoted newlines":
            note = pl.Series("note", ['two\nlines, and "marks"'] * tiny_frame.height)
            pl.read_csv(tiny_csv, infer_schema=False).with_columns(note).write_csv(source)
        case "gz":
            source.write_bytes(gzip.compress(text.encode()))
        case "parquet":
            tiny_frame.write_parquet(source)
        case _:
            pl.read_csv(tiny_csv, infer_schema=False).drop("is_fraud", "fraud_scenario").write_csv(source)
    assert cli("score", source, "--out", "out.csv").code == 0
    assert cli("score", tiny_csv, "--out", "plain.csv").code == 0
    separator = ";" if form == "semicolons" else ","
    scores = [
        pl.read_csv(cli.folder / n, separator=s)["score"] for n, s in (("out.csv", separator), ("plain.csv", ","))
    ]
    assert scores[0].equals(scores[1])
    if form == "quoted newlines":
        assert pl.read_csv(cli.folder / "out.csv")["note"][0] == 'two\nlines, and "marks"'


def test_names_with_brackets_are_names(cli: Cli, model: Path, tiny_csv: Path) -> None:
    (cli.folder / "[bold]").mkdir()
    source = cli.folder / "[bold]" / "p[/x].csv".replace("/", "-")
    source.write_bytes(tiny_csv.read_bytes())
    done = cli("score", source, "--out", "[red]out.csv")
    assert done.code == 0 and done.out.startswith("[red]out.csv: ")
    done = cli("score", "[bold]/none[red].csv", "--out", "x.csv")
    assert done.err == "error: [bold]/none[red].csv: cannot be read: No such file or directory"


# Wrong inputs to train: the table

Make = Callable[[list[str]], bytes]


def _cell(column: str, value: str, line: int = 5) -> Make:
    """The table with one cell changed; lines count from 1, the header first."""

    def make(lines: list[str]) -> bytes:
        cells = lines[line - 1].split(",")
        cells[lines[0].split(",").index(column)] = value
        return "\n".join([*lines[: line - 1], ",".join(cells), *lines[line:]]).encode()

    return make


def _without(column: str) -> Make:
    def make(lines: list[str]) -> bytes:
        position = lines[0].split(",").index(column)
        rows = [line.split(",") for line in lines]
        return "\n".join(",".join(row[:position] + row[position + 1 :]) for row in rows).encode()

    return make


def _all_fraud(lines: list[str]) -> bytes:
    position = lines[0].split(",").index("is_fraud")
    rows = [line.split(",") for line in lines[1:]]
    return "\n".join([lines[0], *(",".join([*r[:position], "1", *r[position + 1 :]]) for r in rows)]).encode()


def _whole(lines: list[str]) -> bytes:
    return "\n".join(lines).encode()


BAD_ROW = "error: {file}: rows that cannot be used; correct or remove them, or change the profile:\n  line 5: "
TABLES: dict[str, tuple[str, Make, str]] = {
    "missing column": (
        "t.csv",
        _without("amount"),
        "error: {file}: missing column amount; the table has 13: transaction_id, timestamp, card_id, merchant_id, "
        "category, channel, country, currency, latitude, longitude, is_fraud, fraud_scenario, …. "
        "Rename the columns or use a profile that fits the table",
    ),
    "text in a number": ("t.csv", _cell("amount", "hunter2"), BAD_ROW + "amount: not a number"),
    "infinity": ("t.csv", _cell("amount", "1e400"), BAD_ROW + "amount: outside the range of a 32-bit float"),
    "not a number": ("t.csv", _cell("amount", "NaN"), BAD_ROW + "amount: missing value"),
    "out of bounds": ("t.csv", _cell("amount", "-5"), BAD_ROW + "amount: must be at least 0 and at most 1e+09"),
    "a day that is none": (
        "t.csv",
        _cell("timestamp", "2026-02-30T10:00:00Z"),
        BAD_ROW + "timestamp: expected an ISO 8601 time with a zone, e.g. 2026-01-31T08:15:00Z",
    ),
    "another currency": (
        "t.csv",
        _cell("currency", "USD"),
        BAD_ROW + "currency: expected EUR, the only currency this profile knows",
    ),
    "a label that is none": (
        "t.csv",
        _cell("is_fraud", "maybe"),
        BAD_ROW + "is_fraud: expected one of 1, true, 0, false (the profile's fraud and legitimate), "
        "or an empty cell for unknown",
    ),
    "a card number": (
        "t.csv",
        _cell("card_id", "4111 1111 1111 1111"),
        BAD_ROW + "card_id: looks like a card number; send a pseudonymous id instead",
    ),
    "a cell too many": ("t.csv", _cell("currency", "EUR,more"), BAD_ROW + "15 cells, expected 14 as in the header"),
    "10 million characters": (
        "t.csv",
        _cell("category", "x" * 10_000_000),
        BAD_ROW + "category: longer than 64 characters",
    ),
    "invalid UTF-8": (
        "t.csv",
        lambda lines: _cell("category", "\x7f")(lines).replace(b"\x7f", b"\xff"),
        BAD_ROW + "category: not valid UTF-8",
    ),
    "an open quotation mark": (
        "t.csv",
        _cell("category", '"grocery'),
        "error: {file}: line 5: a quotation mark opens a cell here and is never closed",
    ),
    "a quotation mark inside": (
        "t.csv",
        _cell("category", '"gro"cery'),
        BAD_ROW + "a quotation mark or line break inside a cell is out of place",
    ),
    "empty file": ("t.csv", lambda lines: b"", "error: {file}: the file is empty"),
    "blank header": (
        "t.csv",
        lambda lines: b"\n" + _whole(lines),
        "error: {file}: line 1: the header is blank; expected column names",
    ),
    "twice the same column": (
        "t.csv",
        lambda lines: _whole([lines[0].replace("currency", "amount"), *lines[1:]]),
        "error: {file}: line 1: column 9 has the name of column 8; is the first line a header?",
    ),
    "header only": (
        "t.csv",
        lambda lines: _whole(lines[:1]),
        "error: {file}: no rows below the header; expected transactions",
    ),
    "one row": (
        "t.csv",
        lambda lines: _whole(lines[:2]),
        "error: the train part has 1 legitimate rows of 1 rows in all, at least 50 are needed",
    ),
    "all rows fraud": (
        "t.csv",
        _all_fraud,
        "error: the train part has 0 legitimate rows of {rows} rows in all, at least 50 are needed",
    ),
    "UTF-16": (
        "t.csv",
        lambda lines: _whole(lines).decode().encode("utf-16"),
        "error: {file}: the file is UTF-16 or not text; save it as UTF-8",
    ),
    "gz cut off": (
        "t.csv.gz",
        lambda lines: gzip.compress(_whole(lines))[:-100],
        "error: {file}: the compressed data is damaged or cut off",
    ),
    "not gz": ("t.csv.gz", _whole, "error: {file}: the compressed data is damaged or cut off"),
    "not Parquet": ("t.parquet", _whole, "error: {file}: not a readable Parquet file"),
    "unknown suffix": (
        "t.xlsx",
        _whole,
        "error: {file}: unknown kind of file; expected one of .csv, .csv.gz, .csv.zst, .parquet",
    ),
}


def refused(done: Result, message: str) -> None:
    """One message on standard error, exit code 2, and nothing of Python in it."""
    assert done.code == 2, (done.out, done.err)
    assert done.err.startswith(message), done.err
    assert "Traceback" not in done.err + done.out
    assert not re.search(r"hunter2|4111|\x1b", done.err + done.out)


@pytest.mark.parametrize("name", TABLES)
def test_a_wrong_table_is_refused_in_words(cli: Cli, tiny_csv: Path, profile: Path, name: str) -> None:
    file, make, message = TABLES[name]
    lines = tiny_csv.read_text().splitlines()
    (cli.folder / file).write_bytes(make(lines))
    done = cli("train", file, "--profile", profile)
    refused(done, message.replace("{file}", file).replace("{rows}", str(len(lines) - 1)))
    assert len(done.err) < 600
    assert not (cli.folder / "artifacts").exists() or not any((cli.folder / "artifacts").iterdir())


@pytest.mark.parametrize("name", [
    "empty file", "blank header", "header only", "UTF-16", "gz cut off", "not gz", "not Parquet",
    "unknown suffix", "twice the same column", "an open quotation mark",
])  # fmt: skip
def test_a_wrong_table_gets_no_profile(cli: Cli, tiny_csv: Path, name: str) -> None:
    file, make, message = TABLES[name]
    (cli.folder / file).write_bytes(make(tiny_csv.read_text().splitlines()))
    refused(cli("profile", file, "--out", "new.toml"), message.replace("{file}", file))
    assert not (cli.folder / "new.toml").exists()


@pytest.mark.parametrize("name", [
    "missing column", "text in a number", "10 million characters", "empty file", "gz cut off",
    "UTF-16", "an open quotation mark", "unknown suffix", "a card number",
])  # fmt: skip
def test_a_wrong_table_is_not_scored_either(cli: Cli, model: Path, tiny_csv: Path, name: str) -> None:
    file, make, message = TABLES[name]
    (cli.folder / file).write_bytes(make(tiny_csv.read_text().splitlines()))
    if message.startswith(BAD_ROW):
        message = "error: {file}: line 5: " + message.removeprefix(BAD_ROW)
    refused(cli("score", file, "--out", "out.csv"), message.replace("{file}", file))
    refused(cli("embed", file, "--out", "out.csv"), message.replace("{file}", file))
    assert [entry.name for entry in cli.folder.iterdir()] == [file]


def test_constant_columns_and_no_label_are_no_error(cli: Cli) -> None:
    random = pl.Series([(i * 7919) % 101 / 10 for i in range(400)])
    frame = pl.DataFrame({"a": random, "b": random * 2 + 1, "constant": [7.0] * 400, "word": ["same"] * 400})
    frame.write_csv(cli.folder / "t.csv")
    done = cli("train", "t.csv", "--hidden", "4", "--members", "1")
    assert done.code == 0, done.err
    assert "No labels: every row is taken for legitimate, and detection cannot be measured." in done.out
    refused(cli("evaluate", "t.csv"), "error: profile 't' has no label column, so there is nothing to measure against")
    odd = frame.with_columns(constant=pl.lit(8.0))
    odd.write_csv(cli.folder / "odd.csv")
    assert cli("score", "odd.csv", "--out", "out.csv").code == 0
    assert (pl.read_csv(cli.folder / "out.csv")["score"] > 0.9).all()


# Wrong options

OPTIONS: list[tuple[list[str], str]] = [
    (["nowhere.csv"], "error: nowhere.csv: no such file"),
    (["no/*.csv"], "error: no/*.csv: no such file"),
    (
        ["{csv}", "--profile", "paymets"],
        "error: no profile 'paymets': neither a file nor one of handbook, handbook-raw, payments, ulb",
    ),
    (["{csv}", "--label", "nope"], "error: {csv}: no column nope to use as the label; the table has "),
    (["{csv}", "--profile", "{profile}", "--label", "nope"], "error: {csv}: missing column nope; the table has 14: "),
    (["{csv}", "--alert-rate", "2"], "error: --alert-rate: expected a share above 0 and below 1, e.g. 0.005"),
    (["{csv}", "--alert-rate", "0"], "error: --alert-rate: expected a share above 0 and below 1"),
    (["{csv}", "--alert-rate", "nan"], "error: --alert-rate: expected a share above 0 and below 1"),
    (["{csv}", "--hidden", "wide"], "error: --hidden: expected whole numbers separated by commas, e.g. 128,64"),
    (["{csv}", "--hidden", "8,,4"], "error: --hidden: expected whole numbers separated by commas"),
    (["{csv}", "--hidden", "0"], "error: code size, hidden widths and members must each be at least 1"),
    (["{csv}", "--members", "0"], "error: code size, hidden widths and members must each be at least 1"),
    (["{csv}", "--noise", "-1"], "error: noise must be"),
    (
        ["{csv}", "--architecture", "overcomplete", "--noise", "0"],
        "error: an overcomplete autoencoder without noise learns to copy its input and would flag nothing: set noise "
        "above 0 (denoising)",
    ),
    (["{csv}", "--code-size", "500"], "error: code size 500 is not narrower than the "),
    (["{csv}", "--device", "abacus"], "error: device 'abacus' is not available here; use cpu, cuda or auto"),
    (
        ["{csv}", "--label-delay", "soon"],
        "error: label delay: a duration is a whole number and one of s, m, h, d, e.g. 7d",
    ),
    (["{csv}", "--label-delay", "60d"], "error: the train part has 0 legitimate rows of "),
    (["{csv}", "--out", "{csv}"], "error: {csv}: cannot hold model versions: File exists"),
]


@pytest.mark.parametrize(("arguments", "message"), OPTIONS)
def test_a_wrong_option_is_refused_in_words(
    cli: Cli, tiny_csv: Path, profile: Path, arguments: list[str], message: str
) -> None:
    def filled(text: str) -> str:
        return text.replace("{csv}", str(tiny_csv)).replace("{profile}", str(profile))

    refused(cli("train", *map(filled, arguments)), filled(message))
    assert list(cli.folder.rglob("manifest.json")) == []


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--days", "0"], "error: days is 0: expected 1 or more"),
        (["--fraud-rate", "0.9"], "error: fraud_rate is 0.9: expected a share from 0 up to, but below, 0.5"),
        (["--seed", "-1"], "error: seed is -1: expected 0 or more"),
        (["--out", "p.xlsx"], "error: p.xlsx: unknown suffix '.xlsx': expected .csv or .parquet"),
    ],
)
def test_simulate_refuses_what_makes_no_sense(cli: Cli, arguments: list[str], message: str) -> None:
    refused(cli("simulate", "--out", "p.csv", "--cards", "5", "--merchants", "20", "--days", "1", *arguments), message)
    assert list(cli.folder.iterdir()) == []


def test_models_that_are_not_there(cli: Cli, tiny_csv: Path) -> None:
    refused(
        cli("score", tiny_csv, "--out", "o.csv"),
        "error: no active model in artifacts: run 'counterfoil train' first, or name --model",
    )
    refused(
        cli("score", tiny_csv, "--out", "o.csv", "--model", "v1"),
        "error: no model version 'v1' in artifacts (latest: none",
    )
    refused(cli("activate", "v1"), "error: no model version 'v1' in artifacts")
    done = cli("models")
    assert done.code == 0 and done.out == "No model versions in artifacts. Run 'counterfoil train' first.\n"


def test_a_narrow_terminal_cuts_no_version_off(cli: Cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert re.search(rf"{tiny_model.name} .* \d\.\d+\s*$", cli("models", "--artifacts", tiny_model.parent).out)


def test_a_damaged_model_is_named_and_listed(cli: Cli, tiny_model: Path, tiny_csv: Path) -> None:
    copy = cli.folder / "artifacts" / tiny_model.name
    copy.mkdir(parents=True)
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "report.html").write_text("changed")
    refused(
        cli("score", tiny_csv, "--out", "o.csv", "--model", tiny_model.name),
        "error: report.html: failed check 'sha256': the content is not what the manifest recorded; restore the version",
    )
    refused(cli("activate", tiny_model.name), "error: report.html: failed check 'sha256'")
    (copy / "manifest.json").write_text("{}")
    done = cli("models")
    assert done.code == 0 and f"{tiny_model.name}  damaged: manifest.json: failed check 'format'" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{csv}", "--out", "{csv}"], "error: {csv}: is the input itself; give the output another name"),
        (["{csv}", "--out", "o.txt"], "error: o.txt: unknown kind of file; expected one of .csv"),
        (["{csv}", "--out", "no/o.csv"], "error: no/o.csv: cannot be written: No such file or directory"),
        (["{csv}", "--out", "folder.csv"], "error: folder.csv: cannot be written: it is a folder"),
        (["no.csv", "--out", "there.csv"], "error: no.csv: cannot be read: No such file or directory"),
        (
            ["scored.csv", "--out", "o.csv"],
            "error: column score: the output adds a column of this name; rename or remove",
        ),
    ],
)
def test_outputs_that_cannot_be(cli: Cli, model: Path, tiny_csv: Path, arguments: list[str], message: str) -> None:
    (cli.folder / "folder.csv").mkdir()
    (cli.folder / "there.csv").write_text("precious")
    pl.read_csv(tiny_csv, infer_schema=False).with_columns(score=pl.lit("1")).write_csv(cli.folder / "scored.csv")
    refused(
        cli("score", *[a.replace("{csv}", str(tiny_csv)) for a in arguments]), message.replace("{csv}", str(tiny_csv))
    )
    assert (cli.folder / "there.csv").read_text() == "precious"
    assert tiny_csv.read_text().startswith("transaction_id,")


def test_a_profile_is_not_overwritten_unasked(cli: Cli, tiny_csv: Path) -> None:
    (cli.folder / "payments.toml").write_text("mine")
    refused(cli("profile", tiny_csv), "error: payments.toml: exists already; give --out another name, or --force")
    assert (cli.folder / "payments.toml").read_text() == "mine"
    assert cli("profile", tiny_csv, "--force").code == 0
    assert load_schema(str(cli.folder / "payments.toml")).label == "is_fraud"


def test_evaluate_needs_labels(cli: Cli, model: Path, tiny_frame: pl.DataFrame) -> None:
    tiny_frame.drop("is_fraud").write_parquet(cli.folder / "t.parquet")
    refused(cli("evaluate", "t.parquet"), "error: t.parquet: missing column is_fraud; the table has 13: ")


def test_a_wrong_setting_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, tiny_csv: Path) -> None:
    monkeypatch.setenv("COUNTERFOIL_PORT", "hunter2")
    done = cli("score", tiny_csv, "--out", "o.csv")
    refused(done, "error: ")
    assert "COUNTERFOIL_PORT" in done.err


# Help and interruption


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(cli: Cli, command: str) -> None:
    done = cli(command, "--help")
    assert done.code == 0
    assert re.search(rf"Example: .*counterfoil {command}\b", done.out, re.DOTALL)


def test_help_names_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    assert all(command in done.out for command in COMMANDS)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_leaves_nothing(tiny_csv: Path, tmp_path: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "counterfoil", "train", str(tiny_csv), "--out", str(tmp_path / "artifacts")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [*command, "--hidden", "512,512", "--members", "16"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert "guessed" in process.stdout.readline()  # everything is imported, reading begins
        time.sleep(1.5)
        process.send_signal(sent)
        message = process.stderr.read()
        process.wait(60)
    assert process.returncode == 130
    assert "Interrupted; nothing half-written was left behind." in message and "Traceback" not in message
    assert Registry(tmp_path / "artifacts").versions() == []
    assert not list(tmp_path.rglob("*.partial"))
