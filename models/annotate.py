"""A table's rows with their scores beside them: one layout for the command line's and the API's output."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import InvalidInput
from models.pan import SURELY_NO_CARD, card_number_rows, column_of_cards, is_card_number
from models.rows import Batch, ParsedRows
from models.schema import TransactionSchema, names_verification_value
from models.scorer import Asked, Scorer
from models.thresholds import DECISIONS

#: Stands in place of a text that holds a card number.
WITHHELD = "(withheld)"


def added_columns(reasons: int) -> tuple[str, ...]:
    """Names of the columns that scoring adds, in order: four, and one text per reason."""
    texts = (f"reason_{number}" for number in range(1, reasons + 1))
    return ("score", "reconstruction_error", "is_anomaly", "decision", *texts)


def require_free_names(columns: Iterable[str], added: Iterable[str]) -> None:
    """Check that no input column has the name of an added one.

    Raises:
        InvalidInput: naming the first column in the way.
    """
    present = set(columns)
    for name in added:
        if name in present:
            raise InvalidInput(f"column {name}: the output adds a column of this name; rename or remove yours")


def scored_frame(
    scorer: Scorer,
    frame: pl.DataFrame,
    parsed: ParsedRows,
    reasons: int,
    behaviour: NDArray[np.float64] | None = None,
) -> pl.DataFrame:
    """The good rows of a frame, in order, all columns kept, with the columns of :func:`added_columns`.

    Args:
        scorer: the model.
        frame: the rows that ``parsed`` was made from.
        parsed: what :func:`models.parsing.parse_rows` says of them.
        behaviour: float64 [good rows, behaviour features], where the model has any.
        reasons: reasons per row; each becomes a text column, empty where the model has fewer features.

    Returns:
        ``frame``'s good rows with score (Float64), reconstruction_error (Float64), is_anomaly (Boolean),
        decision (String) and reason_1 ... reason_N (String).

    Raises:
        InvalidInput: the frame has a column of an added name.
    """
    require_free_names(frame.columns, added_columns(reasons))
    batch = parsed.batch(scorer.vocabulary)
    if behaviour is not None:
        batch = batch.with_behaviour(behaviour)
    return with_added(frame.filter(pl.Series(parsed.good)), scored_columns(scorer, batch, reasons))


def scored_columns(scorer: Scorer, batch: Batch, reasons: int) -> list[pl.Series]:
    """The columns of :func:`added_columns` for a batch, in their order."""
    scores = scorer.score(batch, explain=reasons > 0)
    texts: list[list[str | None]] = [[None] * len(batch) for _ in range(reasons)]
    if reasons:
        asked = [Asked(row, reasons) for row in range(len(batch))]
        for row, found in enumerate(scorer.reasons_of(batch, scores, asked)):
            for place, reason in enumerate(found):
                texts[place][row] = reason.text
    decisions = pl.Series(DECISIONS, dtype=pl.String).gather(pl.Series(scores.decision, dtype=pl.UInt32))
    columns = [pl.Series(scores.score), pl.Series(scores.error), pl.Series(scores.is_anomaly), decisions]
    return columns + [pl.Series(text, dtype=pl.String) for text in texts]


def with_added(frame: pl.DataFrame, columns: list[pl.Series]) -> pl.DataFrame:
    """A frame with the columns of :func:`added_columns`, given in their order."""
    names = added_columns(len(columns) - len(added_columns(0)))
    return frame.with_columns(column.alias(name) for column, name in zip(columns, names, strict=True))


class CardMask:
    """Keeps card numbers, and card verification values, out of the columns of a table, chunk by chunk.

    A column of bare long numbers is decided on as a whole, and stays so: where most of them are card numbers all are
    withheld, those that only look odd included; where one in ten looks like one by chance, none is. In any other column
    each cell is looked at.

    Args:
        trusted: columns whose long numbers are no card numbers, as the profile says.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._decided: dict[str, bool] = dict.fromkeys(trusted, False)

    def hide(self, frame: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
        """The frame with :data:`WITHHELD` in place of a text, and nothing in place of another value.

        Where there is nothing to hide, the very frame.
        """
        masked = []
        for cells in frame.select(columns):
            hits = self._hits(cells)
            if hits.any():
                replacement = pl.lit(WITHHELD if cells.dtype == pl.String else None)
                masked.append(pl.when(hits).then(replacement).otherwise(pl.col(cells.name)).alias(cells.name))
        return frame.with_columns(masked) if masked else frame

    def _hits(self, cells: pl.Series) -> pl.Series:
        if names_verification_value(cells.name):
            return cells.is_not_null()
        if cells.name not in self._decided and (cells.dtype.is_integer() or cells.dtype == pl.String):
            found = column_of_cards(cells.cast(pl.String))
            if found is not None:
                self._decided[cells.name] = found
        decided = self._decided.get(cells.name)
        if decided is None:
            return pl.Series(np.isin(np.arange(len(cells)), _card_numbers(cells)))
        if not decided:
            return pl.repeat(False, len(cells), dtype=pl.Boolean, eager=True)
        return cells.cast(pl.String).str.contains("[0-9]{8}").fill_null(False)


def unchecked_columns(schema: TransactionSchema, columns: Iterable[str]) -> list[str]:
    """Those that parsing does not look at."""
    checked = {field for name in (*schema.inputs, schema.label) if name for field in schema.columns[name].fields(name)}
    return [name for name in columns if name not in checked]


def hashed_fields(schema: TransactionSchema) -> tuple[str, ...]:
    """The fields that hold keys which are hashed on reading, and so must not be shown."""
    return tuple(field for name in schema.hashed for field in schema.columns[name].fields(name))


def withheld(frame: pl.DataFrame, fields: Iterable[str]) -> pl.DataFrame:
    """The frame with :data:`WITHHELD` for every text of some columns, and with nothing for other values.

    Where it has none of them, the very frame.
    """
    present = [pl.col(field) for field in fields if field in frame.columns]
    if not present:
        return frame
    texts = [frame.schema[column.meta.output_name()] == pl.String for column in present]
    return frame.with_columns(
        pl.when(column.is_not_null()).then(pl.lit(WITHHELD) if text else pl.lit(None)).alias(column.meta.output_name())
        for column, text in zip(present, texts, strict=True)
    )


def _card_numbers(cells: pl.Series) -> list[int]:
    """Positions of the cells, of any type, that hold a card number."""
    if cells.dtype.is_numeric():
        large = cells.cast(pl.Float64).abs() > SURELY_NO_CARD
        return [row for row in large.fill_null(False).arg_true() if is_card_number(cells[row])]
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        return card_number_rows(pl.Series([str(value) for value in cells.to_list()], dtype=pl.String))
    return [] if cells.dtype.is_temporal() else card_number_rows(cells.cast(pl.String, strict=False))
