"""``counterfoil score``, ``embed``: unusual tables that are right, wrong ones, and outputs that cannot be."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from cli.console import advance, progress
from tests.cli.wrong_tables import BAD_ROW, TABLES
from tests.command_line import Cli, refused


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


def test_a_bar_tells_rows_and_their_rate() -> None:
    with progress("rows") as bars:
        task = bars.add_task("scoring", total=None, rows="")
        advance(bars, task)(3, 4, 12_000)
        [shown] = bars.tasks
        assert shown.percentage == 75
        assert shown.fields["rows"].startswith("12,000 rows, ") and shown.fields["rows"].endswith("/s")


def test_what_was_broken_off_goes_on_with_the_same_command_only(cli: Cli, model: Path, tiny_csv: Path) -> None:
    (cli.folder / "in.csv").write_text(tiny_csv.read_text())
    (cli.folder / ".out.csv.kept.partial").write_text("left by a process that was killed")
    start = ("score", "in.csv", "--out", "out.csv", "--resume")
    (cli.folder / "out.csv.rejects.csv").mkdir()  # the end of the first run fails
    refused(cli(*start), "error: out.csv.rejects.csv")
    assert sorted(path.name for path in cli.folder.glob("*out.csv")) == []
    told = "error: .out.csv.kept: what is kept there was begun with another"
    refused(cli(*start, "--reasons", "1"), f"{told} number of reasons; score as it was begun, or delete that file")
    refused(cli(*start, "--state", "empty"), f"{told} state")
    refused(cli(*start, "--state", "live"), "error: --resume does not go with --state live")
    (cli.folder / "out.csv.rejects.csv").rmdir()
    assert cli(*start).code == 0
    assert cli("score", "in.csv", "--out", "once.csv").code == 0
    assert (cli.folder / "out.csv").read_bytes() == (cli.folder / "once.csv").read_bytes()
    assert list(cli.folder.glob(".*")) == []


@pytest.mark.parametrize("how", [(), ("--state", "live", "--record", "--database", "sqlite:///own.db")])
def test_what_is_written_otherwise_than_in_training_is_told(
    cli: Cli, model: Path, tiny_frame: pl.DataFrame, how: tuple[str, ...]
) -> None:
    tiny_frame.head(100).with_columns(pl.col("category") + ".0").write_parquet(cli.folder / "odd.parquet")
    done = cli("score", "odd.parquet", "--out", "out.csv", *how)
    assert done.code == 0
    assert "training knew few of the values of category" in done.err
