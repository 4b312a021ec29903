"""``counterfoil simulate``, ``profile``: what makes no sense is refused, and nothing is overwritten unasked."""

from __future__ import annotations

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
