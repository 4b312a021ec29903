"""AutoencoderOutlierDetector: the detector of the command line as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from models.autoencoder import ArchitectureKind
from models.detector import run_torch
from models.errors import InvalidInput
from models.normaliser import Layout
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, Batch
from training.fit import FitOptions, fit_detector
from training.second_opinion import MIN_FRAUD, NOVEL_SHARE, fit_second_opinion

_BLOCK_ROWS = 8_192
#: Training rows, evenly spaced, that say where the threshold lies.
_OFFSET_ROWS = 100_000


class AutoencoderOutlierDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Whitened reconstruction error of an ensemble of autoencoders, for any numeric table.

    Fit it on legitimate rows: it is made for novelty detection and takes a few per cent of others without harm.
    Missing values (NaN) are allowed. Defaults are those of ``counterfoil train``; None means sized from the data
    (:class:`training.fit.FitOptions`).

    Args:
        contamination: share of the training rows that :meth:`predict` puts outside, in (0, 0.5].
        causes: [features], which cause each feature belongs to, counted from 0: several views of one thing, such as
            the windows of one word, are one cause. Given, each cause also counts by itself, as behaviour features do
            (:class:`models.singles.Singles`); None where columns say nothing by themselves.
        labels: ``use``: ``y`` says which rows are known, and from 50 of either kind on trees learn from them, as with
            ``counterfoil train --labels use``; they are kept if both opinions rank the training rows better than the
            error alone, each row judged by trees that were grown without it. ``ignore``: ``y`` is not looked at.
        novel_share: with labels, share of the rows outside that the reconstruction error alone decides on.
        code_size, hidden, members, noise, architecture, grid, error, steps: as :class:`training.fit.FitOptions`.
        random_state: seed of the fit.

    Attributes:
        offset_: threshold on :meth:`score_samples`; rows below it are outliers.
        n_features_in_, feature_names_in_: of the training table.
        n_iter_: steps of the optimiser that were taken.
        judgement_: :class:`training.second_opinion.Judgement` of the second opinion; None without one.
        detector_: the fitted :class:`models.detector.FraudDetector`.
    """

    def __init__(
        self,
        *,
        contamination: float = 0.005,
        code_size: int | None = None,
        hidden: tuple[int, ...] | None = None,
        members: int = 4,
        noise: float = 0.3,
        architecture: ArchitectureKind = "undercomplete",
        grid: tuple[int, int] | None = None,
        error: str = "whitened",
        steps: int | None = None,
        causes: tuple[int, ...] | None = None,
        labels: str = "ignore",
        novel_share: float = NOVEL_SHARE,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.contamination = contamination
        self.code_size = code_size
        self.hidden = hidden
        self.members = members
        self.noise = noise
        self.architecture = architecture
        self.grid = grid
        self.error = error
        self.steps = steps
        self.causes = causes
        self.labels = labels
        self.novel_share = novel_share
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Fit on rows [n, features], in time order where they have one.

        Args:
            y: [n], with ``labels="use"``: 1 fraud, 0 legitimate, -1 unknown. Fraud is not fitted by the autoencoders,
                rows of unknown label not by the trees. Ignored otherwise.

        Raises:
            ValueError: fewer than 2 rows or 2 features, infinite values, another label, or parameters out of range.
        """
        X = self._table(X, reset=True)
        label = self._known(y, len(X))
        if not 0 < self.contamination <= 0.5:
            raise InvalidInput("contamination must be above 0 and at most 0.5")
        if self.error not in ("whitened", "euclidean"):
            raise InvalidInput("error must be 'whitened' or 'euclidean'")
        if X.shape[1] < 2:
            raise InvalidInput(
                f"n_features = {X.shape[1]}, but an undercomplete autoencoder needs at least 2 to have a narrower code"
            )
        options = FitOptions(
            code_size=self.code_size,
            hidden=self.hidden,
            members=self.members,
            noise=self.noise,
            architecture=self.architecture,
            grid=self.grid,
            error="euclidean" if self.error == "euclidean" else "whitened",
            steps=self.steps,
        )
        nullable = tuple(int(i) for i in np.flatnonzero(np.isnan(X).any(axis=0)))
        layout = Layout(X.shape[1], (False,) * X.shape[1], nullable, (), (), alike=self._alike(X.shape[1]))
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        legitimate = X[label != FRAUD]
        result = fit_detector(_batch(legitimate), layout, options, seed=seed)
        self.detector_ = result.detector
        self.n_iter_ = result.history[-1].step
        self.judgement_ = None
        some = legitimate[:: -(-len(legitimate) // _OFFSET_ROWS)]
        if min((label == FRAUD).sum(), (label == LEGITIMATE).sum()) >= MIN_FRAUD:
            lesson = fit_second_opinion(self.detector_, _batch(X), label, self.novel_share, seed)
            self.judgement_ = lesson.judgement if lesson else None
            if lesson and lesson.judgement.better:
                self.offset_ = float(np.quantile(-lesson.legitimate, self.contamination))
                return self
            self.detector_.second = None
        self.offset_ = float(np.quantile(-self._ranks(some), self.contamination))
        return self

    def _known(self, y: Any, rows: int) -> NDArray[np.int8]:
        """The labels [n]; all unknown where they are not used."""
        if self.labels not in ("use", "ignore"):
            raise InvalidInput("labels must be 'use' or 'ignore'")
        if not 0 < self.novel_share < 1:
            raise InvalidInput("novel_share must be between 0 and 1, both excluded")
        if self.labels == "ignore" or y is None:
            return np.full(rows, UNKNOWN, np.int8)
        label = np.asarray(y)
        if label.shape != (rows,) or not np.isin(label, (FRAUD, LEGITIMATE, UNKNOWN)).all():
            raise InvalidInput("y must have one label a row: 1 (fraud), 0 (legitimate) or -1 (unknown)")
        return label.astype(np.int8)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Minus the reconstruction error, or the evidence of both opinions, [n]: lower = more abnormal."""
        check_is_fitted(self)
        return -self._ranks(self._table(X, reset=False))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """``score_samples(X) - offset_`` [n]: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """1 for inliers, -1 for outliers [n]; a row exactly at the threshold is an inlier."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def reconstruct(self, X: ArrayLike) -> NDArray[np.float64]:
        """The rows as the autoencoders give them back, less what they take for noise: [n, features], in units of X."""
        check_is_fitted(self)
        X = self._table(X, reset=False)
        normaliser, whitening = self.detector_.normaliser, self.detector_.whitening
        blocks = (_batch(X[start : start + _BLOCK_ROWS]) for start in range(0, len(X), _BLOCK_ROWS))
        points = (self.detector_.look(block).expected - whitening.mean for block in blocks)
        return np.concatenate([normaliser.to_units(x, whitening.precision).numpy() for x in points])

    def _alike(self, features: int) -> tuple[int, ...]:
        causes = tuple(self.causes or ())
        if causes and (len(causes) != features or set(causes) != set(range(max(causes) + 1))):
            raise InvalidInput(f"causes must give each of the {features} features a cause, counted from 0")
        return causes

    def _ranks(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        place = 0 if self.detector_.second is None else -1
        blocks = (X[start : start + _BLOCK_ROWS] for start in range(0, len(X), _BLOCK_ROWS))
        return np.concatenate([run_torch(self.detector_, _batch(block))[place] for block in blocks])

    def _table(self, X: ArrayLike, *, reset: bool) -> NDArray[np.float64]:
        table: NDArray[np.float64] = validate_data(
            self,
            X,
            reset=reset,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        return np.require(table, requirements=["C", "W"])  # torch shares the memory and wants it writable

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _batch(X: NDArray[np.float64]) -> Batch:
    return Batch(X, np.empty((len(X), 0), np.int64), np.zeros(len(X), np.int64))
