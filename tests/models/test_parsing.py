"""Rows: the vectorised readers agree with the scalar ones, every bad cell has its cause, no cause holds a value."""

from __future__ import annotations

import contextlib
import io
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.errors import InvalidInput, InvalidProfile
from models.forms.time_patterns import DAY
from models.parsing import parse_rows, require_columns
from models.reading.causes import CARD_NUMBER
from models.rows import AT_ONCE, FRAUD, LEGITIMATE, UNKNOWN, Batch, ParsedRows, Vocabulary
from models.schema import FLOAT32_MAX, TransactionSchema, parse_schema
from models.times import TIME_EXPECTED, TimeFormat, parse_time

_MISSING = "missing value"


def schema_of(**columns: dict[str, Any]) -> TransactionSchema:
    """A schema with the given columns and a numeric one that never errs."""
    return parse_schema(
        {"name": "t", "columns": {"filler": {"kind": "numeric", "nullable": True}, **columns}}, source="t"
    )


def parse(cells: pl.Series | list[Any], **column: Any) -> ParsedRows:
    """Rows of one column x."""
    series = pl.Series("x", cells) if isinstance(cells, list) else cells.alias("x")
    filler = pl.Series("filler", [None] * len(series), dtype=pl.String)
    return parse_rows(schema_of(x=column), pl.DataFrame([filler, series]))


def causes(parsed: ParsedRows) -> dict[int, str]:
    """Cause by row; the column is always x."""
    assert {error.column for error in parsed.errors} <= {"x"}
    assert parsed.good.tolist() == [row not in {e.row for e in parsed.errors} for row in range(len(parsed.good))]
    return {error.row: error.cause for error in parsed.errors}


# Times


@st.composite
def _iso_like(draw: st.DrawFn) -> str:
    """Texts on both sides of the border of ISO 8601."""

    def part(low: int, high: int) -> str:
        return f"{draw(st.integers(low, high)):02d}"

    year = draw(st.sampled_from(["0000", "1969", "1970", "1999", "2024", "2026", "9999", "10000", "202"]))
    date = f"{year}-{part(0, 13)}-{part(0, 32)}"
    clock = f"{part(0, 25)}:{part(0, 61)}:{part(0, 61)}"
    fraction = draw(st.sampled_from(["", "", ".", ".5", ".123456", ".999999999", ".1234567890", ",5"]))
    zone = draw(
        st.sampled_from(["", "Z", "z", "+00:00", "-00:00", "+02:00", "-14:00", "+14:59", "+15:00", "+0200", " UTC"])
    )
    between = draw(st.sampled_from("TTT  t_"))
    return (
        draw(st.sampled_from(["", "", "", " ", "\n"]))
        + f"{date}{between}{clock}{fraction}{zone}"
        + draw(st.sampled_from(["", "", "", " ", "\n"]))
    )


_valid_times = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.isoformat() + "Z")
_FORMS: list[TimeFormat] = ["iso8601", "iso8601-utc", "epoch-s", "epoch-ms", "excel", "elapsed-s"]


@pytest.mark.parametrize("form", _FORMS)
@given(cells=st.lists(_iso_like() | _valid_times | st.text(max_size=12), min_size=1, max_size=30))
@example(cells=["2016-12-31T23:59:60Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "1970-01-01T00:00:00Z"])
@example(cells=["1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01"])
@example(cells=["２０26-01-31T08:15:00Z", "2026-01-31T08:15:00Z\n", "2026-01-31T24:00:00Z", "2026-W05-6T08:15:00Z"])
def test_texts_are_the_same_time_one_by_one_and_in_a_column(form: TimeFormat, cells: list[str]) -> None:
    parsed = parse(pl.Series(cells, dtype=pl.String), kind="timestamp", format=form, cycles=[])
    found = causes(parsed)
    times = iter(parsed.time.tolist())
    for row, cell in enumerate(cells):
        try:
            float(cell)
            next(times) if row not in found else None
            continue  # numbers written as text are for the epoch forms only, see below
        except ValueError:
            pass
        try:
            expected = parse_time(cell, form)
        except ValueError as error:
            assert str(error) == TIME_EXPECTED[form]
            assert found[row] == f"expected {TIME_EXPECTED[form]}", cell
            continue
        assert row not in found, cell
        assert next(times) == expected, cell


@pytest.mark.parametrize("form", ["epoch-s", "epoch-ms", "excel", "elapsed-s"])
@given(
    values=st.lists(st.floats() | st.floats(0, 3e11) | st.integers(-5, 3 * 10**14).map(float), min_size=1, max_size=30)
)
@example(values=[0.0, -0.0, -1e-9, 1e305, math.inf, math.nan, 253402300799.999999, 253402300800.0, 253402300799999.0])
def test_numbers_are_the_same_time_as_text_as_float_and_one_by_one(form: TimeFormat, values: list[float]) -> None:
    column: dict[str, Any] = {"kind": "timestamp", "format": form, "cycles": []}
    typed = parse(pl.Series(values, dtype=pl.Float64), **column)
    text = parse(pl.Series([repr(value) for value in values]), **column)
    assert typed.time.tolist() == text.time.tolist()
    assert causes(typed) == causes(text)
    one_by_one = []
    for value in values:
        with contextlib.suppress(ValueError):
            one_by_one.append(parse_time(value, form))
    assert typed.time.tolist() == one_by_one


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)))
def test_iso_times_are_what_they_say(moment: datetime) -> None:
    micros = (moment - datetime(1970, 1, 1)) // (datetime(1970, 1, 1, 0, 0, 0, 1) - datetime(1970, 1, 1))
    assert parse_time(moment.isoformat() + "Z", "iso8601") == micros
    assert parse_time(moment.isoformat(" "), "iso8601-utc") == micros
    assert parse_time(moment.isoformat() + "+05:30", "iso8601") == micros - 19_800_000_000


def test_a_missing_zone_counts_as_utc_only_where_the_profile_says() -> None:
    assert causes(parse(["2026-01-31T08:15:00"], kind="timestamp")) == {0: f"expected {TIME_EXPECTED['iso8601']}"}
    assert causes(parse(["2026-01-31T08:15:00"], kind="timestamp", format="iso8601-utc")) == {}


@pytest.mark.parametrize(
    ("form", "text", "moment"),
    [
        ("excel", "45717.5", "2025-03-01T12:00:00Z"),
        ("excel", "45717.384027778", "2025-03-01T09:13:00Z"),
        ("epoch-ms", "1740787200007", "2025-03-01T00:00:00.007Z"),
    ],
)
def test_numbers_written_as_text(form: TimeFormat, text: str, moment: str) -> None:
    expected = parse_time(moment, "iso8601")
    assert parse_time(text, form) == parse_time(float(text), form) == expected
    assert parse([text], kind="timestamp", format=form).time.tolist() == [expected]
    with pytest.raises(ValueError, match="seconds, zero or more"):
        parse_time("5", "elapsed-s")


def test_missing_times_are_missing() -> None:
    assert causes(parse(pl.Series([None, None], dtype=pl.String), kind="timestamp")) == {0: _MISSING, 1: _MISSING}
    assert causes(parse(pl.Series([None], dtype=pl.Null), kind="timestamp")) == {0: _MISSING}


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_typed_times(unit: Any, zone: str) -> None:
    moment = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
    cells = pl.Series([moment]).cast(pl.Datetime(unit, "UTC")).dt.convert_time_zone(zone)
    assert parse(cells, kind="timestamp").time.tolist() == [int(moment.timestamp()) * 1_000_000]
    with pytest.raises(InvalidInput, match="column x: expected seconds, zero or more; the table holds Datetime"):
        parse(cells, kind="timestamp", format="elapsed-s", cycles=[])


def test_typed_times_without_a_zone_need_the_profile_to_say_utc() -> None:
    cells = pl.Series([datetime(2026, 1, 31, 8, 15)])
    assert parse(cells, kind="timestamp", format="iso8601-utc").time.tolist() == [1_769_847_300_000_000]
    with pytest.raises(InvalidInput, match=r"column x: .*the table's times have no zone"):
        parse(cells, kind="timestamp")
    with pytest.raises(InvalidInput, match=r"column x: .*the table holds Date$"):
        parse(cells.cast(pl.Date), kind="timestamp")


# Numbers

GOOD_NUMBERS = [
    ("0", 0.0), ("-1.5", -1.5), ("+1", 1.0), (" 1", 1.0), ("\t2 ", 2.0), (".5", 0.5), ("1.", 1.0), ("1e5", 1e5),
    ("1E-5", 1e-5), ("1e-400", 0.0), ("3.4028234e38", 3.4028234e38), ("0.1", 0.1), ("1769846400000", 1769846400000.0),
]  # fmt: skip
BAD_NUMBERS = [
    ("", _MISSING), ("  ", _MISSING), ("nan", _MISSING), ("NaN", _MISSING), (None, _MISSING),
    ("abc", "not a number"), ("1,5", "not a number"), ("1_0", "not a number"), ("0x10", "not a number"),
    ("1e", "not a number"), ("--1", "not a number"), ("٣", "not a number"), ("1 2", "not a number"),
    ("€5", "not a number"),
    ("inf", "outside the range of a 32-bit float"), ("-Infinity", "outside the range of a 32-bit float"),
    ("1e400", "outside the range of a 32-bit float"), ("-3.5e38", "outside the range of a 32-bit float"),
    ("4111111111111111", CARD_NUMBER), ("4111111111111111.0", CARD_NUMBER), ("4.111111111111111e15", CARD_NUMBER),
    ("6240008631401148", CARD_NUMBER), ("6304000000000000018", CARD_NUMBER),
]  # fmt: skip


@pytest.mark.parametrize("alone", [True, False])
def test_numbers(alone: bool) -> None:
    tables = [[pair] for pair in [*GOOD_NUMBERS, *BAD_NUMBERS]] if alone else [[*GOOD_NUMBERS, *BAD_NUMBERS]]
    for table in tables:
        parsed = parse(pl.Series([cell for cell, _ in table], dtype=pl.String), kind="numeric")
        assert causes(parsed) == {row: want for row, (_, want) in enumerate(table) if isinstance(want, str)}
        assert parsed.numeric[:, 1].tolist() == [want for _, want in table if not isinstance(want, str)]


def test_missing_numbers_are_nan_where_the_profile_allows() -> None:
    parsed = parse(["1", "", None, "nan", " "], kind="numeric", nullable=True)
    assert not parsed.errors
    np.testing.assert_array_equal(parsed.numeric[:, 1], [1, math.nan, math.nan, math.nan, math.nan])


def test_bounds_are_inclusive_and_told() -> None:
    parsed = parse(["-0.001", "0", "10", "10.001"], kind="numeric", minimum=0.0, maximum=10.0)
    assert causes(parsed) == {0: "must be at least 0 and at most 10", 3: "must be at least 0 and at most 10"}
    assert causes(parse(["1"], kind="amount", minimum=2.0)) == {0: "must be at least 2"}


@given(st.lists(st.floats() | st.floats(width=32), min_size=1, max_size=30))
def test_numbers_as_text_and_as_floats_are_the_same(values: list[float]) -> None:
    typed = parse(pl.Series(values, dtype=pl.Float64), kind="numeric", nullable=True)
    text = parse(pl.Series([repr(value) for value in values]), kind="numeric", nullable=True)
    assert causes(typed) == causes(text)
    np.testing.assert_array_equal(typed.numeric, text.numeric)
    assert (np.abs(typed.numeric[~np.isnan(typed.numeric)]) <= FLOAT32_MAX).all()


def test_card_numbers_are_found_in_every_numeric_type() -> None:
    for series in (
        pl.Series([4111111111111111, 12]),
        pl.Series([6304000000000000018, 12]),
        pl.Series([4111111111111111.0, 12.0]),
        pl.Series(["4111111111111111", "12"]).cast(pl.Decimal(20, 2)),
    ):
        assert causes(parse(series, kind="numeric")) == {0: CARD_NUMBER}, series.dtype


def test_card_numbers_are_found_whatever_their_sign_and_fraction() -> None:
    cells = pl.Series(["-4111111111111111", "4111111111111111.5", "4.111111111111111e15", "4111111111111112", "0.5"])
    assert causes(parse(cells, kind="numeric")) == dict.fromkeys(range(3), CARD_NUMBER)


def test_scenarios_are_shown_in_reports_and_hold_no_card_number() -> None:
    assert causes(parse(pl.Series(["stolen", None, "4111 1111 1111 1111"]), kind="scenario")) == {2: CARD_NUMBER}


def test_a_column_that_cannot_be_numbers_is_refused_whole() -> None:
    with pytest.raises(InvalidInput, match="column x: expected numbers, the table holds Date"):
        parse(pl.Series([datetime(2026, 1, 1)]).cast(pl.Date), kind="numeric")


# Text, currency, labels


def test_texts() -> None:
    cells = ["ok", "", None, "x" * 8, "x" * 9, "é" * 8, "4111 1111 1111 1111", "a\0b", " "]
    refused = {2 - 1: _MISSING, 2: _MISSING, 4: "longer than 8 characters", 7: "holds a NUL character"}
    for kind in ("categorical", "entity", "id"):
        parsed = parse(cells, kind=kind, max_length=8)
        assert causes(parsed) == {**refused, 6: "longer than 8 characters"}
    assert causes(parse(cells[6:7], kind="entity")) == {0: CARD_NUMBER}
    nullable = parse(["", None, "a"], kind="categorical", nullable=True)
    assert not nullable.errors
    assert nullable.batch(Vocabulary((("", "a"),))).categorical[:, 0].tolist() == [1, 1, 2]


def test_typed_texts() -> None:
    parsed = parse(pl.Series(["a", "b"], dtype=pl.Categorical), kind="categorical")
    assert parsed.text[0].to_list() == ["a", "b"]
    assert parse(pl.Series([1, 2]), kind="categorical").text[0].to_list() == ["1", "2"]


@pytest.mark.parametrize("kind", ["categorical", "entity", "id", "currency", "label"])
@pytest.mark.parametrize("cells", [[[1]], [{"a": 1}], [b"x"]])
def test_what_is_no_text_is_refused_whole(kind: str, cells: list[Any]) -> None:
    extra = {"code": "EUR"} if kind == "currency" else {}
    with pytest.raises(InvalidInput, match="column x: expected text, the table holds"):
        parse(cells, kind=kind, **extra)


def test_one_currency() -> None:
    parsed = parse(["EUR", "USD", "eur", "", None], kind="currency", code="EUR")
    assert causes(parsed) == dict.fromkeys(range(1, 5), "expected EUR, the only currency this profile knows")


def test_labels() -> None:
    cells = ["1", "0", "true", "FALSE", " 1 ", "1.0", "0.00", "", None, "2", "yes", "-1"]
    parsed = parse(cells, kind="label")
    assert parsed.label is not None
    assert parsed.label.tolist() == [FRAUD, LEGITIMATE, FRAUD, LEGITIMATE, FRAUD, FRAUD, LEGITIMATE, UNKNOWN, UNKNOWN]
    expected = "expected one of 1, true, 0, false (the profile's fraud and legitimate), or an empty cell for unknown"
    assert causes(parsed) == dict.fromkeys([9, 10, 11], expected)


@pytest.mark.parametrize("cells", [[1, 0, None], [1.0, 0.0, None], [True, False, None]])
def test_typed_labels(cells: list[Any]) -> None:
    parsed = parse(cells, kind="label")
    assert parsed.label is not None and parsed.label.tolist() == [FRAUD, LEGITIMATE, UNKNOWN]


def test_labels_in_the_users_own_words() -> None:
    parsed = parse(["Chargeback", "ok"], kind="label", fraud=["chargeback"], legitimate=["OK"])
    assert parsed.label is not None and parsed.label.tolist() == [FRAUD, LEGITIMATE]


# Whole rows

_FULL = schema_of(
    amount={"kind": "amount", "minimum": 0.0, "transform": "signed-log"},
    country={"kind": "categorical", "nullable": True, "max_length": 4},
    card={"kind": "entity"},
    at={"kind": "timestamp", "format": "iso8601-utc"},
    fraud={"kind": "label"},
)
_ROW = st.fixed_dictionaries(
    {
        "filler": st.none() | st.floats(-1e30, 1e30),
        "amount": st.floats(-1, 1e6) | st.none(),
        "country": st.sampled_from(["DE", "FR", "4111 1111", "LONGER", None]),
        "card": st.sampled_from(["card-1", "4111111111111111", None]),
        "at": st.datetimes(datetime(1969, 12, 31), datetime(2100, 1, 1)) | st.none(),
        "fraud": st.sampled_from([0, 1, 2, None]),
    }
)


@given(st.lists(_ROW, min_size=1, max_size=12))
def test_csv_cells_and_parquet_cells_give_the_same_batch(rows: list[dict[str, Any]]) -> None:
    types: dict[str, Any] = {"filler": pl.Float64, "amount": pl.Float64, "country": pl.String, "card": pl.String,
             "at": pl.Datetime("us"), "fraud": pl.Int8}  # fmt: skip
    typed = pl.DataFrame(rows, schema=types)
    text = pl.read_csv(io.StringIO(typed.write_csv()), infer_schema=False)
    one, other = parse_rows(_FULL, typed), parse_rows(_FULL, text)
    assert one.errors == other.errors
    vocabulary = Vocabulary((("DE", "", "FR"),))
    for name in ("numeric", "categorical", "time"):
        a, b = getattr(one.batch(vocabulary), name), getattr(other.batch(vocabulary), name)
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    assert one.label is not None and other.label is not None
    np.testing.assert_array_equal(one.label, other.label)


_SECRETS = ("4111111111111111", "5500 0000 0000 0004", "hunter2", "1e999", "-77.25", "2026-99-99T00:00:00Z")


@given(
    st.lists(st.fixed_dictionaries({name: st.sampled_from(_SECRETS) for name in _FULL.columns}), min_size=1, max_size=6)
)
def test_no_cause_repeats_a_value(rows: list[dict[str, str]]) -> None:
    parsed = parse_rows(_FULL, pl.DataFrame(rows, schema=dict.fromkeys(_FULL.columns, pl.String)))
    assert len(parsed.errors) == len(rows)
    for error in parsed.errors:
        assert not any(secret in error.cause for secret in _SECRETS)


def test_the_first_cause_wins_in_the_order_of_the_schema() -> None:
    frame = pl.DataFrame({"fraud": ["maybe"], "at": ["never"], "card": [""], "country": ["LONGER"], "amount": ["x"],
                          "filler": ["x"]})  # fmt: skip
    [error] = parse_rows(_FULL, frame).errors
    assert (error.row, error.column, error.cause) == (0, "filler", "not a number")


def test_rows_of_any_number() -> None:
    empty = parse_rows(_FULL, pl.DataFrame(schema=dict.fromkeys(_FULL.columns, pl.String)))
    batch = empty.batch(Vocabulary((("DE",),)))
    assert (len(batch), batch.numeric.shape, batch.categorical.shape) == (0, (0, 2), (0, 1))


def test_missing_columns_are_named_with_those_present() -> None:
    with pytest.raises(
        InvalidInput,
        match=r"day\.csv: missing columns card, at; the table has 4: filler, amount, country, \(withheld\)\.",
    ):
        require_columns(_FULL, ["filler", "amount", "country", "4111111111111111"], source="day.csv")
    require_columns(_FULL, ["filler", "amount", "country", "card", "at"], source="day.csv")
    with pytest.raises(InvalidInput, match="missing column fraud;"):
        require_columns(_FULL, ["filler", "amount", "country", "card", "at"], source="day.csv", label=True)


def test_a_vocabulary_knows_what_it_knows() -> None:
    vocabulary = Vocabulary((("b", "a"), ()))
    codes = vocabulary.encode([pl.Series(["a", "b", "c", None]), pl.Series(["a", "b", "c", None])])
    assert codes.tolist() == [[2, 0], [1, 0], [0, 0], [0, 0]]


def test_batches_are_taken_and_joined() -> None:
    batch = Batch(np.arange(6.0).reshape(3, 2), np.arange(3).reshape(3, 1), np.arange(3))
    again = Batch.concat([batch.take(slice(0, 1)), batch.take(np.array([1, 2]))])
    np.testing.assert_array_equal(again.numeric, batch.numeric)
    assert again.time.tolist() == [0, 1, 2]
    assert batch.take(np.array([False, False, True])).categorical.tolist() == [[2]]


# Since when a label was known


def test_a_label_is_known_since_a_moment_or_the_end_of_a_day() -> None:
    body: dict[str, Any] = {
        "name": "t",
        "columns": {
            "paid": {"kind": "timestamp"},
            "x": {"kind": "numeric"},
            "fraud": {"kind": "label"},
            "since": {"kind": "label_timestamp", "from": "disputed", "format": "%d.%m.%Y", "zone": "Europe/Berlin"},
        },
    }
    frame = pl.DataFrame(
        {
            "paid": ["2026-01-01T00:00:00Z"] * 5,
            "x": ["1"] * 5,
            "fraud": ["1", "1", "1", "1", "0"],
            "disputed": ["03.01.2026", "2026-01-05T10:00:00Z", "", "soon", None],
        }
    )
    parsed = parse_rows(parse_schema(body, source="t"), frame)
    assert [(error.row, error.column) for error in parsed.errors] == [(3, "disputed")]
    assert parsed.known is not None
    midnight = 1_767_481_200_000_000  # the end of 3 January in Berlin
    # ISO 8601 beside the days has a time of day of its own, and is a day later for it: never too early.
    assert parsed.known.tolist() == [midnight, 1_767_607_200_000_000 + DAY, AT_ONCE, AT_ONCE]
    body["columns"]["since"] = {"kind": "label_timestamp", "from": "disputed", "format": "iso8601-utc"}
    parsed = parse_rows(parse_schema(body, source="t"), frame[1:2])
    assert parsed.known is not None and parsed.known.tolist() == [1_767_607_200_000_000]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fraud": {"kind": "ignore"}}, "it needs a label and a timestamp"),
        ({"paid": {"kind": "ignore"}}, "it needs a label and a timestamp"),
        ({"paid": {"kind": "timestamp", "format": "elapsed-s", "cycles": []}}, "no common start"),
    ],
)
def test_what_a_label_timestamp_needs(changed: dict[str, Any], message: str) -> None:
    columns = {
        "paid": {"kind": "timestamp"},
        "x": {"kind": "numeric"},
        "fraud": {"kind": "label"},
        "since": {"kind": "label_timestamp"},
    }
    with pytest.raises(InvalidProfile, match=message):
        parse_schema({"name": "t", "columns": columns | changed}, source="t")
