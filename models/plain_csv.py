"""Blocks of CSV without quotation marks and blank lines, which are nearly all: counted by NumPy, parsed by Polars."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import polars as pl


def read_plain(block: bytes, header: list[str], delimiter: str, numbers: Collection[str] = ()) -> pl.DataFrame | None:
    """Parse a block without quotation marks and blank lines; None if a row has too many or too few cells.

    Args:
        numbers: columns that are read as float64, where all of their cells are numbers or empty; else all are text.
    """
    # Polars fills short rows silently and refuses long ones, so equal totals mean that every row is right.
    if count(block, delimiter) != count(block, "\n") * (len(header) - 1):
        return None
    # The row of zeros keeps Polars from taking the first bytes for a byte order mark or compressed data.
    zeros = delimiter.join("0" * len(header)).encode() + b"\n"
    for wanted in (numbers, ()) if numbers else ((),):
        try:
            return pl.read_csv(
                zeros + block,
                has_header=False,
                schema={name: pl.Float64 if name in wanted else pl.String for name in header},
                separator=delimiter,
                quote_char=None,
            ).slice(1)
        except pl.exceptions.PolarsError:  # no number, too many cells, or not UTF-8: the csv module finds the row
            continue
    return None


def without_trailing(
    block: bytes, header: list[str], delimiter: str, *, known: bool | None
) -> tuple[bytes | None, bool | None]:
    """A plain block without the delimiters behind its rows' last cells, and whether they are there in every row.

    Where some rows have one and some have not it goes to the csv module.
    """
    lines, mark = block.count(b"\n"), delimiter.encode()
    behind = block.count(mark + b"\n")
    if behind == lines and block.count(mark) == lines * len(header):
        return block.replace(mark + b"\n", b"\n"), True
    return (None, known) if known or behind else (block, False)


def count(block: bytes, character: str) -> int:
    """How often one character is in a block; ``bytes.count`` takes ten times as long where it is there often."""
    if not character.isascii():
        return block.count(character.encode())
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord(character)))
