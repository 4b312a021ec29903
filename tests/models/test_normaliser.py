"""Inputs become comparable: heavy tails tamed, missing told, categories embedded, times put on a circle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.normaliser import Layout, Normaliser, tensors
from models.rows import Batch, Vocabulary
from models.schema import parse_schema

KNOT = 10.0
DAY = 86_400_000_000


def layout_of(*values: tuple[str, ...], **columns: dict[str, Any]) -> Layout:
    """The layout of a schema with these columns; ``values`` are the vocabulary."""
    return Layout.of(parse_schema({"name": "t", "columns": columns}, source="t"), Vocabulary(values))


def batch_of(numeric: NDArray[np.float64], categorical: Any = None, time: Any = None) -> Batch:
    """A batch; no categories and time 0 by default."""
    rows = len(numeric)
    return Batch(
        numeric.reshape(rows, -1),
        np.zeros((rows, 0), np.int64) if categorical is None else np.asarray(categorical).reshape(rows, -1),
        np.zeros(rows, np.int64) if time is None else np.asarray(time),
    )


def fitted(layout: Layout, batch: Batch) -> Normaliser:
    """A normaliser fitted on a batch, in float64."""
    normaliser = Normaliser(layout, KNOT, torch.Generator().manual_seed(0)).double()
    normaliser.fit(batch)
    return normaliser


def embed(normaliser: Normaliser, batch: Batch) -> NDArray[np.float64]:
    """x of a batch."""
    with torch.no_grad():
        dense = normaliser.prepare(*tensors(batch))
        array: NDArray[np.float64] = normaliser.embed(dense, torch.from_numpy(batch.categorical), KNOT).numpy()
    return array


def expected_of(normaliser: Normaliser, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of the input space in the user's units."""
    with torch.no_grad():
        array: NDArray[np.float64] = normaliser.to_units(
            torch.from_numpy(x), torch.eye(x.shape[1], dtype=torch.float64)
        ).numpy()
    return array


NUMBER = {"kind": "numeric"}


def test_numbers_have_mean_0_and_spread_1() -> None:
    values = np.random.default_rng(0).normal(1e6, 3e3, 5_000)
    x = embed(fitted(layout_of(a=NUMBER), batch_of(values)), batch_of(values))
    assert abs(x.mean()) < 1e-6 and x.std() == pytest.approx(1, abs=0.02)


def test_the_tail_grows_strictly_and_slowly() -> None:
    normaliser = fitted(layout_of(a=NUMBER), batch_of(np.random.default_rng(0).normal(size=1_000)))
    far = np.concatenate([-np.geomspace(1e38, 1e-3, 200), np.geomspace(1e-3, 1e38, 200)])
    x = embed(normaliser, batch_of(far))[:, 0]
    assert (np.diff(x) > 0).all()
    assert np.abs(x).max() < 1_500


def test_expected_is_the_inverse_of_the_scaling() -> None:
    columns: dict[str, dict[str, Any]] = {"a": NUMBER, "b": {"kind": "amount", "transform": "signed-log"}}
    random = np.random.default_rng(1)
    values = np.column_stack([random.normal(5, 2, 500), random.lognormal(3, 2, 500) - 5])
    normaliser = fitted(layout_of(**columns), batch_of(values))
    again = expected_of(normaliser, embed(normaliser, batch_of(values)))
    np.testing.assert_allclose(again, values, rtol=1e-9, atol=1e-9)


def test_missing_cells_have_an_indicator_and_stand_at_the_center() -> None:
    random = np.random.default_rng(2)
    holes = np.where(random.random(2_000) < 0.5, np.nan, random.normal(0, 10, 2_000))
    layout = layout_of(a={"kind": "numeric", "nullable": True})
    assert layout.width == 2
    x = embed(fitted(layout, batch_of(holes)), batch_of(np.array([0.0, 10.0, np.nan])))
    assert x[2, 0] == 0
    assert x[2, 1] > x[0, 1] == x[1, 1]


@pytest.mark.parametrize("level", [0.0, 1.0, -1e9, 1e-9])
def test_a_constant_column_neither_divides_by_zero_nor_explodes(level: float) -> None:
    normaliser = fitted(layout_of(a=NUMBER), batch_of(np.full(500, level)))
    tiny = 1e-6 * (abs(level) or 1.0)
    x = embed(normaliser, batch_of(np.array([level, level + tiny, level + 1e8 * tiny])))
    assert np.isfinite(x).all()
    assert abs(x[1, 0] - x[0, 0]) < 0.01  # less than a thousandth of the level is no news
    assert x[2, 0] > KNOT


def test_times_lie_on_a_circle() -> None:
    layout = layout_of(a=NUMBER, at={"kind": "timestamp"})
    hours = np.arange(24 * 14) * 3_600_000_000
    batch = batch_of(np.zeros(len(hours)), time=hours)
    x = embed(fitted(layout, batch), batch)[:, 1:]
    np.testing.assert_allclose(x[:24, :2], x[24:48, :2], atol=1e-9)  # the same hour a day later
    np.testing.assert_allclose(x[: 24 * 7, 2:], x[24 * 7 :, 2:], atol=1e-9)  # the same weekday a week later
    assert not np.allclose(x[0, :2], x[12, :2])
    midnight = np.linalg.norm(x[23, :2] - x[24, :2])
    assert midnight == pytest.approx(np.linalg.norm(x[11, :2] - x[12, :2]))


def test_expected_times_are_hours_and_weekdays() -> None:
    layout = layout_of(a=NUMBER, at={"kind": "timestamp"})
    # 1970-01-05 was a Monday.
    times = 4 * DAY + np.arange(7) * DAY + np.arange(7) * 3 * 3_600_000_000 + 1_800_000_000
    batch = batch_of(np.zeros(7), time=times)
    normaliser = fitted(layout, batch_of(np.zeros(24 * 7), time=np.arange(24 * 7) * 3_600_000_000))
    expected = expected_of(normaliser, embed(normaliser, batch))
    np.testing.assert_allclose(expected[:, 1], np.arange(7) * 3 + 0.5, atol=1e-3)
    assert expected[:, 2].tolist() == list(range(7))


def test_categories_are_told_apart_and_recognised() -> None:
    codes = np.repeat([1, 2, 3], [800, 150, 50])
    layout = layout_of(("a", "b", "c"), n=NUMBER, c={"kind": "categorical"})
    normaliser = fitted(layout, batch_of(np.zeros(1_000), codes))
    x = embed(normaliser, batch_of(np.zeros(4), [0, 1, 2, 3]))[:, 1:]
    assert np.isfinite(x).all()
    surprise = x[:, 0]
    assert surprise[0] > surprise[3] > surprise[2] > surprise[1]  # the rarer, the more surprising; unknown most
    full = embed(normaliser, batch_of(np.zeros(4), [0, 1, 2, 3]))
    assert expected_of(normaliser, full)[1:, 1].tolist() == [1, 2, 3]


def test_a_column_with_no_known_value() -> None:
    layout = layout_of((), n=NUMBER, c={"kind": "categorical"})
    normaliser = fitted(layout, batch_of(np.zeros(100), np.zeros(100, np.int64)))
    x = embed(normaliser, batch_of(np.zeros(1), [0]))
    assert np.isfinite(x).all()
    assert expected_of(normaliser, x)[0, 1] == 0


def test_the_owners_name_a_feature_for_every_input() -> None:
    layout = layout_of(
        ("a", "b"), ("x",), n=NUMBER, m={"kind": "numeric", "nullable": True}, at={"kind": "timestamp"},
        c={"kind": "categorical"}, d={"kind": "categorical"},
    )  # fmt: skip
    assert len(layout.owners()) == layout.width
    assert layout.owners() == [0, 1, 1, 4, 4, 5, 5, 2, 2, 2, 3, 3]


def test_missing_cells_do_not_move_the_center() -> None:
    values = np.random.default_rng(0).normal(1_000, 10, 4_000)
    values[::2] = np.nan
    normaliser = fitted(layout_of(a={"kind": "numeric", "nullable": True}), batch_of(values))
    assert normaliser.center[0].item() == pytest.approx(1_000, abs=1)
    assert normaliser.scale[0].item() == pytest.approx(10, rel=0.05)
    assert embed(normaliser, batch_of(values))[::2, 0] == pytest.approx(0)
