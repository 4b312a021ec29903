"""Whole numbers of 128 bits, as two uint64: high, low. For sums of squared amounts, which no int64 holds."""

from __future__ import annotations

import numpy as np

from models.behaviour.compiled import Uint64, compiled


@compiled
def multiply(a: Uint64, b: Uint64) -> tuple[Uint64, Uint64]:
    """The product of two uint64."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    a0, a1, b0, b1 = a & mask, a >> shift, b & mask, b >> shift
    low, middle, other = a0 * b0, a1 * b0, a0 * b1
    carried = (low >> shift) + (middle & mask) + (other & mask)
    high = a1 * b1 + (middle >> shift) + (other >> shift) + (carried >> shift)
    return high, (carried << shift) | (low & mask)


@compiled
def add(high: Uint64, low: Uint64, other_high: Uint64, other_low: Uint64) -> tuple[Uint64, Uint64]:
    """The sum of two wide numbers."""
    total = low + other_low
    carry = np.uint64(1) if total < low else np.uint64(0)
    return high + other_high + carry, total


@compiled
def subtract(high: Uint64, low: Uint64, other_high: Uint64, other_low: Uint64) -> tuple[Uint64, Uint64]:
    """The difference of two wide numbers, which is not negative."""
    borrow = np.uint64(1) if low < other_low else np.uint64(0)
    return high - other_high - borrow, low - other_low
