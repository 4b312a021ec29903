"""Payments like one, with what became of them."""

from __future__ import annotations

import re

import numpy as np

from app.console.similar import differences
from tests.app.console.conftest import Office


def test_payments_whose_label_is_known_are_shown_most_alike_first(office: Office) -> None:
    local = office.local()
    first, *others = office.queue()[:6]
    seq = office.case(first.id).seq
    assert "is known as fraud or legitimate yet" in local.get(f"/payments/{seq}/similar").text
    for place, case in enumerate(others):
        local.send(f"/alerts/{case.id}/take")
        local.send(f"/alerts/{case.id}", action=("fraud", "legitimate")[place % 2])
    assert f"/console/payments/{seq}/similar" in local.get(f"/alerts/{first.id}").text
    page = local.get(f"/payments/{seq}/similar").text
    alike = [int(text) for text in re.findall(r">(\d+) %</a>", page)]
    assert alike == sorted(alike, reverse=True)
    assert len(alike) == min(8, sum(case.hits for case in others))
    assert {"fraud", "legitimate"} == set(re.findall(r'<span class="chip (fraud|legitimate)">', page))
    local.headers["HX-Request"] = "true"
    fragment = local.get(f"/payments/{seq}/similar").text
    assert "<html" not in fragment
    assert "Differs most in" in fragment
    assert local.get("/payments/999999/similar").status_code == 404


def test_differences_are_of_ranks_categories_and_what_is_missing() -> None:
    numeric = np.array([[1.0, np.nan], [1e9, np.nan], [1.0, 3.0], [2.0, 5.0]])
    categorical = np.array([[1], [1], [2], [1]])
    expected = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.5, 1.0, 0.0]]
    assert differences(numeric, categorical).tolist() == expected
