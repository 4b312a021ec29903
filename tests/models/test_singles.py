"""What is odd in one thing: the functions run through their points, one cause counts once, the parts add up."""

from __future__ import annotations

import pytest
import torch

from models.singles import Bends, Singles


def test_a_function_runs_through_its_points_and_on() -> None:
    bends = Bends(2, 4)
    bends.set(1, torch.tensor([1.0, 2.0, 5.0]).double(), torch.tensor([0.0, 3.0, 4.0]).double(), 10.0)
    v = torch.tensor([0.0, 1.0, 1.5, 2.0, 3.5, 5.0, 6.0], dtype=torch.float64)
    found = bends(torch.stack([v, v], dim=1))
    assert found[:, 0].tolist() == [0.0] * 7
    assert found[:, 1].tolist() == pytest.approx([0.0, 0.0, 1.5, 3.0, 3.5, 4.0, 14.0])


@pytest.fixture
def singles() -> Singles:
    """Three features of one column each, the first two of one cause; every size counts as it is."""
    singles = Singles(3, (0, 0, 1), (2, 2))
    singles.axes.copy_(torch.eye(3, dtype=torch.float64).repeat(1, 2))
    for bends in (singles.size, singles.cause, singles.total, singles.error, singles.inverse):
        for column in range(len(bends.knot)):
            bends.set(column, torch.zeros(1).double(), torch.zeros(1).double(), 1.0)
    singles.weight.fill_(0.5)
    return singles


def test_the_windows_of_one_word_count_once(singles: Singles) -> None:
    x = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, -2.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    parts = singles(x, torch.eye(3, dtype=torch.float64))
    # Each size is there twice, by itself and given the others: here both are the same.
    assert parts.tolist() == [[0, 8, 0], [0, 0, 4], [2, 2, 0], [0, 0, 0]]


def test_the_error_rises_by_what_is_odd_and_by_nothing_else(singles: Singles) -> None:
    x = torch.tensor([[3.0, 4.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    parts = singles(x, torch.eye(3, dtype=torch.float64))
    rise = singles.raised(torch.full((2, 1), 2.0, dtype=torch.float64), parts, parts.sum(1, keepdim=True))
    assert rise.tolist() == [[0, 4, 1], [0, 0, 0]]
