"""The drill hides what it says it hides, and changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from models.detector import FraudDetector, run_torch
from models.rows import FRAUD
from tests.training.test_second_opinion import LAYOUT, OPTIONS, part
from training.drill import Part, drill
from training.fit import fit_detector
from training.second_opinion import fit_second_opinion

RATE = 0.03


@pytest.fixture(scope="module")
def taught() -> FraudDetector:
    train = part(1_500, 0)
    taught = fit_detector(train.batch.take(train.label != FRAUD), LAYOUT, OPTIONS, seed=0).detector
    fit_second_opinion(taught, train.batch, train.label, 0.3, 0)
    return taught


def kinds(count: int, seed: int, *, swapped: bool = False) -> Part:
    """Fraud that two numbers show together, and fraud that is far out in one."""
    rows = part(count, seed)
    fraud = np.flatnonzero(rows.label)
    scenario = np.full(count, "", "<U7")
    scenario[fraud[swapped::2]], scenario[fraud[1 - swapped :: 2]] = "subtle", "far out"
    return Part(rows.batch, rows.label, scenario)


def test_each_scenario_is_measured_with_its_labels_hidden(taught: FraudDetector) -> None:
    train, later, test = kinds(1_500, 0), kinds(1_000, 5), kinds(3_000, 2)
    before = run_torch(taught, test.batch)[-1]
    found = {one.scenario: one for one in drill(taught, train, later, test, alert_rate=RATE, share=0.3, seed=0)}
    np.testing.assert_array_equal(run_torch(taught, test.batch)[-1], before)
    assert sorted(found) == ["far out", "subtle"]
    for name, one in found.items():
        assert one.rows == (test.scenario[test.label == FRAUD] == name).sum()
        assert 0 <= one.unshown <= 1 and 0 <= one.alone <= 1
    assert found["subtle"].shown > found["subtle"].unshown + 0.2  # what was hidden is not known
    assert found["far out"].unshown > 0.8 * found["far out"].alone  # and what is unusual is found all the same


@pytest.mark.parametrize("scenarios", ["none", "one"])
def test_where_nothing_can_be_hidden_nothing_is_said(taught: FraudDetector, scenarios: str) -> None:
    train, later, test = kinds(1_500, 0), kinds(1_000, 5), kinds(1_000, 2)
    for one in (train, test):
        one.scenario[one.label == FRAUD] = "" if scenarios == "none" else "all"
    assert drill(taught, train, later, test, alert_rate=RATE, share=0.3, seed=0) == ()
