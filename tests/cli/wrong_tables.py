"""Tables that nothing can be trained on or scored from, each with the message it gets."""

from __future__ import annotations

import gzip
from collections.abc import Callable

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
        "error: {file}: line 1: column 9 has the name of column 8; is this line the header? Where others stand above "
        "it, name its line: header_line in the profile's [file]",
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
        "t.xls",
        _whole,
        "error: {file}: unknown kind of file; expected one of .csv, .tsv, .txt, .jsonl, .ndjson, .json (each also .gz, "
        ".zst, or in a .zip), .parquet, .xlsx",
    ),
}
