"""Fit a FraudDetector on legitimate rows: train the ensemble, fill the memory, whiten the residuals.

The defaults serve every table; ``docs/decisions/0002-detector.md`` has the experiments they come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.autoencoder import ArchitectureKind, AutoencoderConfig
from models.convolution import Grid
from models.detector import FraudDetector, Whitening
from models.memory import Memory
from models.normaliser import Layout, tensors
from models.rows import Batch
from training.optimise import FitProgress, Rows, optimise
from training.ranks import ALONE, Ranks
from training.singles import BENDS, fit_singles
from training.whitening import robust_precision

#: Rows that training looks at; a larger table is sampled. The steps are bounded, so more rows would not be seen.
MAX_ROWS, MAX_CELLS = 200_000, 100_000_000
_COVARIANCE_ROWS = 20_000
_MEMORY_ROWS = 8_192
_MAX_SLOTS, _FEWEST_MEMORIES = 512, 30
_LLOYD_ROUNDS = 8


@dataclass(frozen=True)
class FitOptions:
    """Hyperparameters; None means sized from the data by the rule given here.

    Attributes:
        code_size: width of the code. None: three quarters of the inputs, at most 128, narrower than the inputs.
        hidden: widths of the hidden layers of the encoder. None: 128, and 256 above 128 inputs. Of a convolutional one
            channels; None: 16, 32.
        members: autoencoders in the ensemble.
        noise: standard deviation of the input noise in training, in normalised units. Places of a grid share one scale,
            and no change of one of them below the noise is news, since it was to be removed.
        architecture: as :class:`models.autoencoder.AutoencoderConfig`.
        grid: rows and columns that the inputs are, row by row, for a convolutional one.
        error: ``whitened`` by the covariance of held-in residuals, or ``euclidean``, the plain loss.
        memory: whether to reconstruct from remembered rows too. Left out where there are categorical features, whose
            combinations are too many to remember, for ``euclidean``, and below 30 rows.
        steps: of the optimiser. None: 24 passes over the data, at least 1,000 (1,000 · 512 / D for
            D > 512 inputs) and at most 4,000 steps.
        batch_rows, learning_rate: of the optimiser.
        knots: beyond this many standard deviations an input grows logarithmically; for the ensemble, for the memory.
        held_in_share: of the rows, left out of the training of each member, to say when to stop and to whiten.
        bounds: quantiles of the rows' distances beyond which a row counts less, in the loss
            (:func:`models.autoencoder.reconstruction_loss`) and in the covariance (:func:`robust_precision`);
            1 bounds nothing.
        singles: from which tail probability on a single thing counts by itself, and with which weight
            (:class:`models.singles.Singles`). None leaves the rows to the error alone. So do tables without
            behaviour features, whose columns may say nothing by themselves (principal components do not),
            ``euclidean``, and fewer than ``singles_rows`` rows: one in a thousand is then seen too seldom to be known.
        temperature: of the memory's softmax, in mean squared distances of a row to its nearest slot.
    """

    code_size: int | None = None
    hidden: tuple[int, ...] | None = None
    members: int = 4
    noise: float = 0.3
    architecture: ArchitectureKind = "undercomplete"
    grid: Grid | None = None
    error: Literal["whitened", "euclidean"] = "whitened"
    memory: bool = True
    steps: int | None = None
    batch_rows: int = 256
    learning_rate: float = 3e-3
    knots: tuple[float, float] = (10.0, 20.0)
    held_in_share: float = 0.2
    bounds: tuple[float, float] = (0.9, 0.99)
    singles: tuple[float, float] | None = (0.05, 0.5)
    singles_rows: int = 10_000
    temperature: float = 0.5

    def config(self, layout: Layout) -> AutoencoderConfig:
        """The ensemble's shape for a layout.

        Raises:
            InvalidInput: the options make an illegal shape.
        """
        width = layout.width
        if self.code_size is not None:
            code_size = self.code_size
        elif self.architecture == "overcomplete":
            code_size = math.ceil(1.5 * width)
        else:
            code_size = max(1, min(width - 1, 128, round(0.75 * width)))
        usual = (128 if width <= 128 else 256,) if self.grid is None else (16, 32)
        return AutoencoderConfig(
            inputs=width,
            code_size=code_size,
            hidden=usual if self.hidden is None else self.hidden,
            members=self.members,
            architecture=self.architecture,
            noise=self.noise,
            grid=self.grid,
        )


@dataclass(frozen=True)
class FitResult:
    """A fitted detector in float64, and how the loss went."""

    detector: FraudDetector
    history: tuple[FitProgress, ...]


def fit_detector(
    batch: Batch,
    layout: Layout,
    options: FitOptions,
    *,
    seed: int,
    device: str = "cpu",
    ranks: Ranks = ALONE,
    on_progress: Callable[[FitProgress], None] | None = None,
) -> FitResult:
    """Train on a batch of legitimate transactions.

    Each member leaves out a fold of its own: the fold says when to stop and gives the residuals' mean and covariance.

    Args:
        batch: legitimate rows only, encoded.
        seed: of weights, folds, order and noise; no global generator is touched.
        device: a torch device.
        ranks: processes that train it together; each ends with the same detector.

    Raises:
        InvalidInput: the options make an illegal shape.
    """
    config = options.config(layout)
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    remembers = options.memory and options.error == "whitened" and not layout.categories
    slots = min(_MAX_SLOTS, len(batch) // 3) if remembers and len(batch) >= _FEWEST_MEMORIES else 0
    by_themselves = options.error == "whitened" and layout.alike and len(batch) >= options.singles_rows
    alone = options.singles if by_themselves else None
    detector = FraudDetector(layout, config, options.knots, slots, generator, BENDS if alone else 0)
    most = min(MAX_ROWS, MAX_CELLS // config.inputs)
    if len(batch) > most:
        batch = batch.take(np.sort(random.choice(len(batch), most, replace=False)))
    detector.normaliser.fit(batch, None if config.grid is None else config.noise)
    with torch.no_grad():
        rows = Rows(detector.normaliser.prepare(*tensors(batch)), torch.from_numpy(batch.categorical))
    folds = _folds(len(batch), config.members, options.held_in_share, random)
    history = optimise(
        detector,
        rows,
        folds,
        bound=options.bounds[0],
        steps=options.steps,
        batch_rows=options.batch_rows,
        learning_rate=options.learning_rate,
        generator=generator,
        device=device,
        ranks=ranks,
        on_progress=on_progress,
    )
    detector.double().eval()
    detector.autoencoder.unroll()
    detector.normaliser.settle()
    if options.error == "whitened":
        with torch.no_grad():
            _whiten_members(detector, rows, [held_in for _, held_in in folds], options)
            if detector.memory is not None:
                _fit_memory(detector, detector.memory, rows, folds[0], options, random)
            if alone and detector.singles is not None:
                fit_singles(detector, detector.singles, rows, options.knots[0], options.bounds[1], *alone, random)
    return FitResult(detector, history)


def _folds(
    rows: int, members: int, share: float, random: np.random.Generator
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Per member its training rows and its held-in rows; the members' held-in rows overlap as little as possible."""
    order = random.permutation(rows)
    size = min(max(2, int(share * rows)), rows - 1)
    folds = []
    for member in range(members):
        held_in = np.take(order, np.arange(member * size, (member + 1) * size), mode="wrap")
        folds.append((np.setdiff1d(order, held_in), held_in))
    return folds


def _whiten_members(detector: FraudDetector, rows: Rows, held_in: list[NDArray[np.int64]], options: FitOptions) -> None:
    """One mean and covariance for all members, from each member's residuals on its own held-in rows."""
    residuals = []
    for member, fold in enumerate(held_in):
        x = rows.embed(detector, torch.from_numpy(fold[:_COVARIANCE_ROWS])[None], options.knots[0])
        stacked = x.expand(len(held_in), -1, -1)
        residuals.append((stacked - detector.autoencoder(stacked))[member])
    _set_whitening(detector, detector.whitening, torch.cat(residuals), options.bounds[1])


def _set_whitening(detector: FraudDetector, whitening: Whitening, residual: Tensor, bound: float) -> None:
    normaliser = detector.normaliser
    mean, precision = robust_precision(
        residual.numpy(), normaliser.resolution.numpy(), normaliser.departure.numpy(), bound
    )
    told = torch.tensor(normaliser.layout.told or normaliser.layout.causes)
    reasons = torch.nn.functional.one_hot(told).to(torch.float64)
    whitening.set(torch.from_numpy(mean), torch.from_numpy(precision), detector.owner @ reasons)


def _fit_memory(
    detector: FraudDetector,
    memory: Memory,
    rows: Rows,
    fold: tuple[NDArray[np.int64], NDArray[np.int64]],
    options: FitOptions,
    random: np.random.Generator,
) -> None:
    """Slots by k-means (Lloyd) on one part of the rows, whitening on the rest."""
    inside, outside = (
        rows.embed(detector, torch.from_numpy(part)[None], options.knots[1])[0]
        for part in (random.permutation(fold[0])[:_COVARIANCE_ROWS], fold[1][:_COVARIANCE_ROWS])
    )
    covariance = np.cov(inside.numpy().T).reshape(inside.shape[1], inside.shape[1])
    axes = torch.from_numpy(np.linalg.eigh(covariance)[1][:, ::-1][:, : memory.axes.shape[1]].copy())
    sample = inside[:_MEMORY_ROWS]
    slots = sample[torch.from_numpy(random.choice(len(sample), memory.slots.shape[0], replace=False))].clone()
    for _ in range(_LLOYD_ROUNDS):
        nearest = _nearest(sample, slots)
        count = torch.bincount(nearest, minlength=len(slots))
        total = torch.zeros_like(slots).index_add_(0, nearest, sample)
        slots = torch.where((count > 0)[:, None], total / count.clamp(min=1)[:, None], slots)
    codes, keys = sample @ axes, slots @ axes
    distance = (codes - keys[_nearest(codes, keys)]).square().sum(1).mean()
    memory.set(axes, slots, options.temperature * float(distance) / axes.shape[1] + 1e-6)
    _set_whitening(detector, detector.memory_whitening, outside - memory(outside), options.bounds[1])


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    return (centres.square().sum(1) - 2 * points @ centres.T).argmin(1)
