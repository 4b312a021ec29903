"""``counterfoil simulate``, ``profile``: what makes no sense is refused, and nothing is overwritten unasked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from models.schema import load_schema
from tests.cli.wrong_tables import TABLES
from tests.command_line import Cli, refused


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


@pytest.mark.parametrize("name", [
    "empty file", "header only", "gz cut off", "not gz", "not Parquet",
    "unknown suffix", "twice the same column", "an open quotation mark",
])  # fmt: skip
def test_a_wrong_table_gets_no_profile(cli: Cli, tiny_csv: Path, name: str) -> None:
    file, make, message = TABLES[name]
    (cli.folder / file).write_bytes(make(tiny_csv.read_text().splitlines()))
    refused(cli("profile", file, "--out", "new.toml"), message.replace("{file}", file))
    assert not (cli.folder / "new.toml").exists()


def test_a_profile_is_not_overwritten_unasked(cli: Cli, tiny_csv: Path) -> None:
    (cli.folder / "payments.toml").write_text("mine")
    refused(cli("profile", tiny_csv), "error: payments.toml: exists already; give --out another name, or --force")
    assert (cli.folder / "payments.toml").read_text() == "mine"
    assert cli("profile", tiny_csv, "--force").code == 0
    assert load_schema(str(cli.folder / "payments.toml")).label == "is_fraud"


def test_a_profile_is_made_in_a_conversation(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{i},{10 + i % 7},{'EUR' if i % 3 else 'USD'},{i % 9},{int(i % 50 == 0)}" for i in range(300)]
    (cli.folder / "p.csv").write_text("time,amount,currency,card,verdict\n" + "\n".join(rows))
    # "maybe" is no answer, nor is 0 a rate: each is asked again.
    monkeypatch.setattr("sys.stdin", io.StringIO("maybe\n\n0\n0.92\nverdict\n"))
    done = cli("profile", "p.csv", "-i", "--out", "p.toml")
    assert done.code == 0, done.err
    assert "what is one USD worth in EUR?" in done.out + done.err
    schema = load_schema(str(cli.folder / "p.toml"))
    assert (schema.label, schema.columns["currency"].model_dump()["rates"]) == ("verdict", {"USD": 0.92})


def test_a_folder_is_profiled_and_checked(cli: Cli) -> None:
    (cli.folder / "parts").mkdir()
    for part in "ab":
        rows = [f"{i},{10 + i % 7},c{i % 9}" for i in range(100)]
        (cli.folder / "parts" / f"{part}.csv").write_text("time,amount,card\n" + "\n".join(rows))
    assert cli("profile", "parts", "--out", "p.toml").code == 0
    (cli.folder / "parts" / "b.csv").write_text("time,amount,card\n0,much,c1\n")
    done = cli("profile", "parts", "--check", "--profile", "p.toml")
    assert done.code == 1
    assert "parts/a.csv against p.toml: 100 rows, 0 would be refused" in done.out
    assert "parts/b.csv against p.toml: 1 rows, 1 would be refused" in done.out
