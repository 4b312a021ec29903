"""Weighted draws from many groups at once, and the array types of the simulator."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


class Choice:
    """Picks one member of a group, with probability in proportion to its weight."""

    def __init__(self, group: Ints, weight: Floats, groups: int) -> None:
        """`group` and `weight` have one entry a member; members of weight 0 are never drawn."""
        members = np.flatnonzero(weight > 0)
        members = members[np.argsort(group[members], kind="stable")]
        self._members = np.append(members, -1)  # the last entry answers for empty groups
        self._cumulative = np.concatenate(([0.0], np.cumsum(weight[members])))
        self._edges = np.searchsorted(group[members], np.arange(groups + 1))

    def draw(self, rng: np.random.Generator, group: Ints) -> Ints:
        """One member for each entry of `group` (same shape); -1 where that group has no members."""
        first, end = self._edges[group], self._edges[group + 1]
        low, high = self._cumulative[first], self._cumulative[end]
        target = low + rng.random(group.shape) * (high - low)
        slot = np.searchsorted(self._cumulative[1:], target, side="right")
        slot = np.minimum(slot, end - 1)  # rounding may put the target on the group's upper edge
        drawn: Ints = self._members[np.where(end > first, slot, -1)]
        return drawn


def choose(rng: np.random.Generator, weight: Floats, size: int) -> Ints:
    """`size` indices into `weight`, drawn with replacement in proportion to it."""
    return Choice(np.zeros(len(weight), np.int64), weight, 1).draw(rng, np.zeros(size, np.int64))


def unroll(sizes: Ints) -> tuple[Ints, Ints]:
    """For groups laid end to end: each entry's group and its place in that group, counted from 0."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    return group, np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def running_total(step: Floats, sizes: Ints) -> Ints:
    """The sums of `step` up to and including each entry, from 0 again in each group, to whole numbers."""
    total = np.concatenate(([0], np.cumsum(np.rint(step).astype(np.int64))))
    before: Ints = np.repeat(total[np.cumsum(sizes) - sizes], sizes)
    return np.subtract(total[1:], before)
