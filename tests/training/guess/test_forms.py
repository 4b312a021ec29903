"""Forms of the world's exports: each is guessed, and what is guessed reads every row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import InvalidInput
from models.schema import CurrencyColumn, FileForm, TimestampColumn
from training.check import check_table
from training.guess import GuessedProfile, guess_profile

ROWS = 300
_random = np.random.default_rng(0)
AMOUNT = np.round(_random.lognormal(8, 1, ROWS), 2)
DAY, MINUTE = 1 + np.arange(ROWS) // 12, np.arange(ROWS) % 60
FRAUD = _random.random(ROWS) < 0.1
WHO = _random.integers(0, 30, ROWS)


def table(columns: Mapping[str, Any], delimiter: str = ";") -> str:
    """CSV without quotation marks."""
    lines = [delimiter.join(columns), *(delimiter.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return "\n".join(lines) + "\n"


def guessed(tmp_path: Path, columns: Mapping[str, Any], encoding: str = "utf-8") -> GuessedProfile:
    """What is guessed of a table, which it reads without refusing a row."""
    path = tmp_path / "table.csv"
    path.write_bytes(table(columns).encode(encoding))
    found = guess_profile(path)
    assert check_table(found.schema, path).refused == 0
    return found


def flags(fraud: str, legitimate: str) -> list[str]:
    return [fraud if one else legitimate for one in FRAUD]


def lakh(value: float) -> str:
    whole, cents = f"{value:.2f}".split(".")
    head, parts = whole[:-3], [whole[-3:]]
    while head:
        head, part = head[:-2], head[-2:]
        parts.insert(0, part)
    return f"{','.join(parts)}.{cents}"


@pytest.mark.parametrize(
    ("written", "decimal", "thousands", "marks"),
    [
        ([f"₹ {lakh(100 * x)}" for x in AMOUNT], ".", ",", ("₹",)),
        ([f"{x:,.2f}".replace(",", "’") for x in AMOUNT], ".", "'", ()),
        ([f"CHF {x:,.2f}".replace(",", "'") for x in AMOUNT], ".", "'", ("CHF",)),
        ([f"{x:,.2f} kr.".replace(",", " ").replace(".", ",", 1) for x in AMOUNT], ",", " ", ("kr.",)),
        ([f"{int(x):,}円" for x in AMOUNT], ".", ",", ("円",)),
        ([f"{x:.2f}".replace(".", ",") for x in AMOUNT], ",", "", ()),
    ],
)
def test_amounts(tmp_path: Path, written: list[str], decimal: str, thousands: str, marks: tuple[str, ...]) -> None:
    times = [f"2026-01-{day:02d}T10:{minute:02d}:00Z" for day, minute in zip(DAY, MINUTE, strict=True)]
    found = guessed(tmp_path, {"time": times, "amount": written, "card": WHO})
    column = found.schema.numeric_column("amount")
    assert (column.decimal, column.thousands, column.marks) == (decimal, thousands, marks)


@pytest.mark.parametrize(
    ("columns", "form"),
    [
        ({"Transaction Date": [f"{46_000 + d + m / 1440:.8f}" for d, m in zip(DAY, MINUTE, strict=True)]}, "excel"),
        ({"Buchungsdatum": [f"202601{d:02d}" for d in DAY], "Zeit": [f"10{m:02d}17" for m in MINUTE]},
         "%Y%m%d %H%M%S"),
        ({"取引日時": [f"2026年01月{d:02d}日 10時{m:02d}分" for d, m in zip(DAY, MINUTE, strict=True)]},
         "%Y年%m月%d日 %H時%M分"),
        ({"when": [f"{d:02d}.01.2026 10:{m:02d}:00.{m:03d}" for d, m in zip(DAY, MINUTE, strict=True)]},
         "%d.%m.%Y %H:%M:%S.%f"),
    ],
)  # fmt: skip
def test_times(tmp_path: Path, columns: Mapping[str, Any], form: str) -> None:
    found = guessed(tmp_path, {**columns, "amount": AMOUNT, "card": WHO})
    column = found.schema.columns[found.schema.timestamp or ""]
    assert isinstance(column, TimestampColumn) and column.format == form


@pytest.mark.parametrize(
    ("name", "values", "fraud", "legitimate"),
    [
        ("Svindel", flags("Ja", "Nei"), ("ja",), ("nei",)),
        ("是否欺诈", flags("是", "否"), ("是",), ("否",)),
        ("Betrug bestätigt", flags("X", ""), ("x",), ("",)),
        ("Status", flags("CHARGED_BACK", "CAPTURED"), ("charged_back",), ("",)),
        ("Tags", flags("fraud", ""), ("fraud",), ("",)),
    ],
)
def test_labels(
    tmp_path: Path, name: str, values: list[str], fraud: tuple[str, ...], legitimate: tuple[str, ...]
) -> None:
    found = guessed(tmp_path, {"time": range(ROWS), "amount": AMOUNT, name: values})
    label: Any = found.schema.columns[found.schema.label or ""]
    assert (found.schema.label, label.fraud, label.legitimate) == (name, fraud, legitimate)


@pytest.mark.parametrize(
    ("encoding", "columns", "kinds"),
    [
        ("gb18030", {"交易时间": range(ROWS), "交易金额": AMOUNT, "卡号": [f"卡{i}" for i in WHO]},
         ["timestamp", "amount", "entity"]),
        ("cp932", {"取引日時": range(ROWS), "金額": AMOUNT, "加盟店": [f"みせ{i}" for i in WHO]},
         ["timestamp", "amount", "entity"]),
        ("cp1252", {"dato": range(ROWS), "Beløp": AMOUNT, "Brukersted": [f"Kjøpmann Ås {i}" for i in WHO]},
         ["ignore", "amount", "entity"]),
        ("cp1252", {"Zeit": range(ROWS), "Größe": AMOUNT, "Kundennr": WHO}, ["ignore", "numeric", "entity"]),
    ],
)  # fmt: skip
def test_encodings(tmp_path: Path, encoding: str, columns: Mapping[str, Any], kinds: list[str]) -> None:
    found = guessed(tmp_path, {**columns, "is_fraud": flags("1", "0")}, encoding)
    assert found.schema.file == FileForm(encoding=encoding)
    assert [found.schema.columns[name].kind for name in columns] == kinds


class Answers:
    """Answers what it is asked, in order."""

    def __init__(self, *answers: str | float) -> None:
        self.answers, self.questions = list(answers), list[str]()

    def choose(self, question: str, answers: list[str]) -> str:
        self.questions.append(question)
        answer = str(self.answers.pop(0)) or answers[0]
        assert answer in answers
        return answer

    def number(self, question: str, default: float) -> float:
        self.questions.append(question)
        return float(self.answers.pop(0))


def test_what_no_column_tells_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        table({
            "transmission": [f"01{d:02d}10{m:02d}00" for d, m in zip(DAY, MINUTE, strict=True)],
            "amount": AMOUNT,
            "currency": ["EUR" if i % 3 else "USD" for i in range(ROWS)],
            "card": WHO,
            "verdict": flags("1", "0"),
        })
    )  # fmt: skip
    warnings = " ".join(guess_profile(path).warnings)
    assert "ESTIMATED" in warnings and "is only a guess" in warnings
    ask = Answers("", 2024, "", 0.9, "verdict")
    found = guess_profile(path, ask=ask)
    time, currency = found.schema.columns["transmission"], found.schema.columns["currency"]
    assert isinstance(time, TimestampColumn) and time.year == 2024
    assert isinstance(currency, CurrencyColumn) and currency.rates == {"USD": 0.9}
    assert found.schema.label == "verdict"
    assert [question for question in ask.questions if "USD worth in EUR" in question]
    assert not [warning for warning in found.warnings if "DOUBTFUL" in warning]


def test_several_files_are_all_looked_at(tmp_path: Path) -> None:
    """What only a later file shows: another encoding, missing cells; what it lacks is no column of the table."""
    base: dict[str, Any] = {"time": range(ROWS), "amount": AMOUNT, "card": WHO}
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(table({**base, "shop": ["Lund"] * ROWS, "only_here": WHO}))
    second.write_text(table({**base, "shop": ["Ålesund", ""] * (ROWS // 2)}), encoding="cp1252")
    found = guess_profile([first, second])
    assert found.schema.file.encoding == "cp1252"
    assert found.schema.columns["shop"].model_dump()["nullable"]
    assert "only_here" not in found.schema.columns
    assert sum(check_table(found.schema, path).refused for path in (first, second)) == 0
    second.write_text("a title\n\n" + table(base))
    with pytest.raises(InvalidInput, match=r"b\.csv: its header stands on line 3, that of .*a\.csv on line 1"):
        guess_profile([first, second])


def test_a_ratio_is_left_out_where_amounts_may_be_below_zero(tmp_path: Path) -> None:
    """Such a profile would be refused when it is read again."""
    base: dict[str, Any] = {"time": range(ROWS), "card": WHO}
    found = guessed(tmp_path, {**base, "amount": np.where(MINUTE % 2, -AMOUNT, AMOUNT)})
    assert "ratio_to_mean" not in found.schema.entity["card"].features
    found = guessed(tmp_path, {**base, "amount": AMOUNT})
    assert "ratio_to_mean" in found.schema.entity["card"].features


def test_cards_of_a_large_table_have_hardly_come_again(tmp_path: Path) -> None:
    """Of 50,000 rows at the beginning of a table with 900,000 cards."""
    rows = 50_100
    cards = np.random.default_rng(0).integers(0, 900_000, rows)
    path = tmp_path / "large.csv"
    path.write_text(table({"time": range(rows), "amount": np.resize(AMOUNT, rows), "card": cards}))
    found = guess_profile(path)
    assert found.schema.columns["card"].kind == "entity"
    assert found.schema.entity["card"].key == "card"
