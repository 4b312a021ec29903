"""From reconstruction error to score: the conformal rank among legitimate transactions.

score(e) = share of legitimate calibration transactions whose error is smaller than e, out of n + 1. So 1 - score is the
conformal p-value (Vovk, Gammerman & Shafer, *Algorithmic Learning in a Random World*, 2005): a legitimate transaction
reaches score s or more with probability at most 1 - s. Higher = more anomalous. It is not a probability of fraud.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.errors import InvalidInput

_TOP_KNOTS = 1_024
_BODY_KNOTS = 1_024
#: Shape of the tail in log-error. Fixed: a fitted shape from a handful of extremes is noise, and 1/2 decays slowly
#: enough that float64 still tells two extreme errors apart.
_TAIL_SHAPE = 0.5
#: exp of it is finite in float64.
_LARGEST_LOG = 709.0


class Calibration(BaseModel):
    """Error -> score, fitted on errors the network never trained on.

    Between knots the rank is interpolated. Beyond the largest knot the excess y = log(e / e_max) follows a generalised
    Pareto tail, 1 - score = p_max (1 + y / (2 s))^-2 with s the mean log-excess of the largest calibration
    errors (Hill, Annals of Statistics 3, 1975), so the score keeps rising and never reaches 1.

    Attributes:
        rows: legitimate transactions in the calibration part.
        error: knots, strictly increasing reconstruction errors.
        score: scores at the knots, increasing, in [0, 1).
        tail_scale: s, in units of log-error, > 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    rows: int = Field(ge=1)
    error: list[float] = Field(min_length=2)
    score: list[float] = Field(min_length=2)
    tail_scale: float = Field(gt=0)

    @model_validator(mode="after")
    def _increasing(self) -> Calibration:
        if len(self.error) != len(self.score):
            raise ValueError("error and score have different lengths")
        if np.any(np.diff(self.error) <= 0) or np.any(np.diff(self.score) < 0):
            raise ValueError("knots are not increasing")
        if self.error[0] < 0 or self.score[0] < 0 or self.score[-1] >= 1:
            raise ValueError("knots are outside their range")
        return self

    @cached_property
    def _knots(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.error), np.array(self.score)

    def to_score(self, error: ArrayLike) -> NDArray[np.float64]:
        """Scores in [0, 1) of reconstruction errors (same shape)."""
        e = np.asarray(error, dtype=np.float64)
        knots, scores = self._knots
        score = np.interp(e, knots, scores)
        beyond = e > knots[-1]
        if beyond.any():
            excess = np.log(e[beyond] / knots[-1])
            tail = (1 + _TAIL_SHAPE * excess / self.tail_scale) ** (-1 / _TAIL_SHAPE)
            score[beyond] = np.minimum(1 - (1 - scores[-1]) * tail, np.nextafter(1, 0))
        return score

    def errors(self) -> NDArray[np.float64]:
        """The calibration errors [rows], increasing, as far as the knots remember them: exact among the largest."""
        knots, scores = self._knots
        ranks = np.arange(self.rows) / (self.rows + 1)
        return knots[np.searchsorted(scores, ranks, side="right") - 1]

    def to_error(self, score: float) -> float:
        """The smallest error whose score is at least ``score``, the inverse of :meth:`to_score`."""
        knots, scores = self._knots
        if score > scores[-1]:
            tail = (1 - score) / (1 - scores[-1])
            excess = (tail**-_TAIL_SHAPE - 1) * self.tail_scale / _TAIL_SHAPE
            return float(np.exp(min(np.log(knots[-1]) + excess, _LARGEST_LOG)))
        return float(np.interp(score, scores, knots))


def calibrate(errors: NDArray[np.float64]) -> Calibration:
    """Fit the calibration on errors [n] of legitimate transactions outside the training rows.

    Raises:
        InvalidInput: fewer than 20 errors, or all of them equal.
    """
    if len(errors) < 20:
        raise InvalidInput(f"the calibration part has {len(errors)} legitimate rows, at least 20 are needed: add data")
    rows = len(errors)
    # 1 - score(v) = (1 + number of errors >= v) / (n + 1): the exact conformal p-value also among ties.
    knots, first = np.unique(errors, return_index=False, return_counts=True)
    below = np.concatenate([[0], np.cumsum(first)[:-1]])
    if len(knots) < 2 or knots[-1] <= 0:
        raise InvalidInput(
            "every legitimate row of the calibration part has the same reconstruction error: "
            "the features hold no information (are they all constant?)"
        )
    keep = np.arange(len(knots))
    if len(knots) > _TOP_KNOTS + _BODY_KNOTS:
        body = np.linspace(0, len(knots) - _TOP_KNOTS - 1, _BODY_KNOTS).round().astype(np.int64)
        keep = np.concatenate([body, np.arange(len(knots) - _TOP_KNOTS, len(knots))])
    ordered = np.sort(errors)
    extremes = ordered[-max(2, min(rows // 10, int(np.sqrt(rows)))) :]
    spread = np.log(np.maximum(extremes[1:], 1e-300) / max(float(extremes[0]), 1e-300))
    return Calibration(
        rows=rows,
        error=knots[keep].tolist(),
        score=(below[keep] / (rows + 1)).tolist(),
        tail_scale=float(np.clip(spread.mean(), 0.05, 5.0)),
    )
