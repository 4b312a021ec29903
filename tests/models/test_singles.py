"""What is odd in one thing: the functions run through their points, every side is looked at, the parts add up."""

from __future__ import annotations

import pytest
import torch

from models.singles import VIEWS, Singles


def test_a_function_runs_through_its_points_and_on() -> None:
    singles = Singles(2, 4)
    singles.set(1, torch.tensor([1.0, 2.0, 5.0]).double(), torch.tensor([0.0, 3.0, 4.0]).double(), 10.0)
    v = torch.tensor([-9.0, 1.0, 1.5, 2.0, 3.5, 5.0, 6.0], dtype=torch.float64)
    found = singles.odd(torch.stack([v, v], dim=1))
    assert found[:, 0].tolist() == [0.0] * 7
    assert found[:, 1].tolist() == pytest.approx([0.0, 0.0, 1.5, 3.0, 3.5, 4.0, 14.0])


@pytest.fixture
def singles() -> Singles:
    """Two columns, the second seen against the first; what lies beyond 1 on any side counts as it is."""
    singles = Singles(2, 2)
    singles.given.copy_(torch.tensor([[0.0, -1.0], [0.0, 1.0]]))
    for view in range(VIEWS * 2):
        singles.set(view, torch.ones(1).double(), torch.zeros(1).double(), 1.0)
    return singles


def test_a_column_is_looked_at_from_both_sides_by_itself_and_given_the_others(singles: Singles) -> None:
    x = torch.tensor([[3.0, 3.0], [-3.0, 0.5], [0.0, 4.0], [1.0, -1.0]], dtype=torch.float64)
    assert singles.odd(x).tolist() == [[2, 2], [2, 2.5], [0, 6], [0, 1]]


def test_the_error_rises_by_what_is_odd_and_by_nothing_else(singles: Singles) -> None:
    x = torch.tensor([[3.0, 3.0], [0.0, 0.0]], dtype=torch.float64)
    parts = torch.tensor([[0.5, 1.5], [0.5, 1.5]], dtype=torch.float64)
    raised = singles(x, parts)
    assert raised.sum(1).tolist() == [2 * (1 + 4) ** 2, 2]
    assert raised.tolist() == [[24.5, 25.5], [0.5, 1.5]]
