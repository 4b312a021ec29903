"""Which rows belong together: by card, for the bootstrap, and by fraud scenario; and the amounts of rows."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.schema import TransactionSchema
from training.report.part import ScoredPart

_FEWEST_CARDS = 30
_MOST_SCENARIOS = 20
NOT_RECORDED = "(not recorded)"


def amounts(schema: TransactionSchema, part: ScoredPart) -> NDArray[np.float64] | None:
    """Amounts [n], 0 where missing; None without an amount column."""
    if schema.amount is None:
        return None
    return np.nan_to_num(part.batch.numeric[:, schema.numeric.index(schema.amount)])


def codes(column: pl.Series) -> NDArray[np.int64]:
    """The values of a column [n] numbered from 0, without gaps."""
    return (column.fill_null("").rank("dense") - 1).to_numpy().astype(np.int64)


def bootstrap_units(card: NDArray[np.int64] | None, entity: str | None, rows: int) -> tuple[NDArray[np.int64], str]:
    """What the bootstrap draws: a number [n] per row, and in words. Cards, where there are enough of them."""
    if card is not None and int(card.max()) + 1 >= _FEWEST_CARDS:
        return card, f"whole cards ({entity}: all rows of one value together)"
    return np.arange(rows), "single transactions"


def scenarios(column: pl.Series | None, fraud: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Fraud rows by scenario, the most frequent first; empty where none is recorded."""
    if column is None or not fraud.any():
        return {}
    named = column.fill_null("").str.strip_chars()
    sizes = named.filter(pl.Series(fraud)).value_counts().sort(["count", column.name], descending=[True, False])
    names: list[str] = [name for name in sizes[column.name].to_list() if name]
    if not names:
        return {}
    shown = names if len(names) <= _MOST_SCENARIOS else names[: _MOST_SCENARIOS - 1]
    parts = {name: fraud & (named == name).to_numpy() for name in shown}
    if len(shown) < len(names):
        parts[f"{len(names) - len(shown)} rarer scenarios"] = fraud & named.is_in(names[len(shown) :]).to_numpy()
    unnamed = fraud & (named == "").to_numpy()
    return parts | ({NOT_RECORDED: unnamed} if unnamed.any() else {})
