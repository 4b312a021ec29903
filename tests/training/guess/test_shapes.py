"""Each shape of docs/your-data.md: guessed as the page shows, trained as guessed, read alike from file and JSON."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from app.requests.model import RequestModel
from models.behaviour.events import Behaviour
from models.detector import run_torch
from models.key_hash import KeyHash
from models.normaliser import Layout
from models.parsing import parse_rows
from models.registry import Registry
from models.rows import Vocabulary
from models.schema import NumericColumn, TimestampColumn, TransactionSchema, parse_schema
from models.scorer import Scorer
from models.tables import TableReader
from models.thresholds import Policy
from tests.shapes import SHAPES, write
from training.behaviour import remember
from training.check import check_table
from training.fit import FitOptions, fit_detector
from training.guess import guess_profile
from training.read import read_history
from training.train import TrainingJob, fit_vocabulary, train

PAGE = Path(__file__).parents[3] / "docs" / "your-data.md"
#: With a card and a merchant, with neither, with steps for a time, without a label.
WHOLE = ("sparkov", "account_opening", "paysim", "statement")
KEYS = KeyHash(bytes(range(32)))


def documented() -> dict[str, str]:
    """The profiles of the page by the name of their shape, which is the profile's."""
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return {tomllib.loads(block)["name"]: block for block in blocks}


def test_the_page_has_every_shape() -> None:
    assert set(documented()) == set(SHAPES)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape(shape: str, tmp_path: Path) -> None:
    path = write(shape, tmp_path)
    guess = guess_profile(path)
    shown = parse_schema(tomllib.loads(documented()[shape]), source="docs/your-data.md")
    year = {"year": 2025}  # what no column says is last year's
    assert undescribed(guess.schema, year) == undescribed(shown, year)

    schema = guess.schema.with_keys(KEYS)
    assert check_table(schema, path).refused == 0
    assert_read_alike(trained(shape, schema, path, tmp_path / "artifacts"), schema, path)


def trained(shape: str, schema: TransactionSchema, path: Path, folder: Path) -> Vocabulary:
    """Train on it, of some shapes a whole version: most of the time goes into its export and its report."""
    history, options = read_history(schema, [path]), FitOptions(hidden=(4,), members=1, steps=20)
    if shape in WHOLE:
        registry = Registry(folder)
        registry.prepare()
        manifest, version = train(
            TrainingJob(schema, options, Policy(name="alert-rate", value=0.05)), history, registry
        )
        assert manifest.metrics.alert_rate is not None and manifest.metrics.alert_rate < 0.5
        return Scorer.load(version).vocabulary
    if behaviour := Behaviour(schema):
        history, _ = remember(behaviour, history)
    vocabulary = fit_vocabulary(history, np.arange(len(history.time)))
    batch = history.batch(vocabulary)
    detector = fit_detector(batch, Layout.of(schema, vocabulary), options, seed=0).detector
    errors = run_torch(detector, batch)[0]
    assert np.isfinite(errors).all() and errors.min() >= 0
    return vocabulary


def undescribed(schema: TransactionSchema, year: dict[str, int]) -> dict[str, object]:
    """What a profile says, but for its description."""
    body = schema.model_dump(mode="json", exclude={"description"})
    for column in body["columns"].values():
        if column.get("year"):
            column.update(year)
    return body


def is_number(schema: TransactionSchema, field: str) -> bool:
    """Whether JSON has a number where a CSV has digits: not where a profile says how it is written."""
    for name, column in schema.columns.items():
        if field in column.fields(name):
            match column:
                case NumericColumn():
                    return not column.written and not column.dated
                case TimestampColumn():
                    return column.format in ("steps", "elapsed-s")
    return False


def as_json(cell: str | None, number: bool) -> str | float | None:
    """The cell of a CSV as a program would send it."""
    return float(cell) if number and cell is not None else cell


def assert_read_alike(vocabulary: Vocabulary, schema: TransactionSchema, path: Path) -> None:
    """The last rows as JSON, each field as the file has it, give the very numbers that the file gives."""
    chunk = list(TableReader(path, schema.file).chunks())[-1]
    rows = parse_rows(schema, chunk.frame)
    last = chunk.frame.tail(5).to_dicts()
    fields = {f for name in schema.inputs for f in schema.columns[name].fields(name)}
    requests = RequestModel(schema, 10)
    as_numbers = {field for field in fields if is_number(schema, field)}
    sent = [{name: as_json(value, name in as_numbers) for name, value in row.items() if name in fields} for row in last]
    if path.suffix == ".jsonl":
        objects = map(json.loads, path.read_text().splitlines()[-5:])
        sent = [{name: value for name, value in one.items() if name in fields} for one in objects]
    read = requests.many(json.dumps({"transactions": sent}).encode())
    wanted = rows.batch(vocabulary)
    for place, row in enumerate(read):
        assert isinstance(row, dict), row
        at = len(rows.time) - 5 + place
        numbers = [row[name] for name in schema.sent_numeric]
        np.testing.assert_array_equal(np.array(numbers, float), wanted.numeric[at])
        texts = [row[name] or "" for name in schema.categorical]
        assert texts == [column.fill_null("")[at] for column in rows.text]
        assert {name: row[name] for name in schema.entities} == {name: cells[at] for name, cells in rows.entity.items()}
        if schema.timestamp:
            assert row[schema.timestamp] == rows.time[at]
