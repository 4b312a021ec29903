"""Events from one row and from columns are the same, whatever the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.behaviour import layout as L
from models.behaviour.events import Behaviour, minor_units, packed_place
from tests.models.behaviour.streams import CARD, MERCHANT, MIXED, START, Payment, columns_of, payments, schema_of

_SCHEMA = schema_of(card=CARD, shop=MERCHANT, mixed=MIXED)
_BEHAVIOUR = Behaviour(_SCHEMA)
_ODD = Payment("käse/ﬁ\U0001f4b3", "日本", None, START - 7, 1, None)
_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


def _assert_same(rows: list[Payment]) -> None:
    columns = columns_of(_BEHAVIOUR, _SCHEMA, rows)
    for i, row in enumerate(rows):
        single = _BEHAVIOUR.of_row(row.row())
        assert len(single) == len(columns)
        for ((name, digest), event), many in zip(single, columns, strict=True):
            assert name == many.name
            assert digest == many.digests[many.group[i]]
            assert np.array_equal(event, many.events[i] * (np.arange(len(event)) != 2) + 0)  # the label comes later


@given(rows=payments())
def test_rows_and_columns_agree(rows: list[Payment]) -> None:
    _assert_same([*rows, _ODD])


@given(cards=st.lists(_TEXT, min_size=1, max_size=8), country=st.one_of(st.none(), _TEXT))
def test_any_text_will_do(cards: list[str], country: str | None) -> None:
    _assert_same([Payment(card, card[::-1], country, START, 1, (5, 7)) for card in cards])


@given(amount=st.floats(-1e10, 1e10), digits=st.integers(0, 4))
def test_amounts_in_minor_units(amount: float, digits: int) -> None:
    """One and many, to the nearest, halves to the even one."""
    one = int(minor_units(np.float64(amount), digits))  # type: ignore[arg-type]
    assert one == minor_units(np.full(5, amount), digits)[3] == round(amount * 10.0**digits)


@pytest.mark.parametrize(("amount", "cents"), [(0.125, 12), (0.375, 38), (-0.125, -12), (0.005, 0), (2.675, 268)])
def test_halves_of_cents(amount: float, cents: int) -> None:
    assert minor_units(np.array([amount, np.nan]), 2).tolist() == [cents, 0]


@pytest.mark.parametrize("place", [(np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan)])
def test_half_a_place_is_none(place: tuple[float, float]) -> None:
    assert packed_place(np.array([place[0]]), np.array([place[1]])).tolist() == [L.NO_PLACE]


def test_the_corners_of_the_earth() -> None:
    corners = {(north, east) for north in (-90.0, 0.0, 90.0) for east in (-180.0, 0.0, 180.0)}
    packed = {int(packed_place(np.array([n]), np.array([e]))[0]) for n, e in corners}
    assert len(packed) == len(corners)
    assert min(packed) >= 0 > L.NO_PLACE
    (event,) = (event for (name, _), event in _BEHAVIOUR.of_row(_ODD.row()) if name == "card")
    assert event[L.E_PLACE] == L.NO_PLACE
