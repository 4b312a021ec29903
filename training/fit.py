"""Fit a FraudDetector on legitimate rows: one loop for all members, early stopping, whitening.

The defaults serve every table; ``docs/decisions/detector.md`` has the experiments they come from.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from models.autoencoder import ArchitectureKind, AutoencoderConfig, reconstruction_loss
from models.detector import FraudDetector
from models.normaliser import Layout, tensors
from models.rows import Batch

#: Up to this many inputs the matrices are too small to share: a second thread only waits for the first.
_ONE_THREAD_WIDTH = 512


@dataclass(frozen=True)
class FitOptions:
    """Hyperparameters; None means sized from the data by the rule in the comment.

    Attributes:
        code_size: width of the code. None: three quarters of the inputs, rounded, narrower than the inputs.
        hidden: widths of the hidden layers of the encoder.
        members: autoencoders in the ensemble.
        noise: standard deviation of the input noise in training, in normalised units.
        error: ``whitened`` or ``euclidean``.
        steps: of the optimiser. None: 40 passes over the data, at least 1,000 and at most 3,000.
    """

    code_size: int | None = None
    hidden: tuple[int, ...] = (128,)
    members: int = 3
    noise: float = 0.2
    architecture: ArchitectureKind = "undercomplete"
    error: str = "whitened"
    steps: int | None = None

    batch_rows: int = 256
    learning_rate: float = 3e-3
    knot: float = 10.0
    held_in_share: float = 0.2
    trimmed_share: float = 0.1


@dataclass(frozen=True)
class FitProgress:
    """State of a running fit: steps done and in all, losses per row and member, learning rate, seconds left."""

    step: int
    steps: int
    loss: float
    held_in_loss: float
    learning_rate: float
    seconds_left: float


@dataclass(frozen=True)
class FitResult:
    """A fitted detector in float64, and how the loss went."""

    detector: FraudDetector
    history: tuple[FitProgress, ...]


def config_for(layout: Layout, options: FitOptions) -> AutoencoderConfig:
    """The ensemble's shape for a layout.

    Raises:
        InvalidInput: the options make an illegal shape.
    """
    width = layout.width
    wide = options.architecture == "overcomplete"
    default = math.ceil(1.5 * width) if wide else max(1, min(width - 1, round(0.75 * width)))
    return AutoencoderConfig(
        inputs=width,
        code_size=default if options.code_size is None else options.code_size,
        hidden=options.hidden,
        members=options.members,
        architecture=options.architecture,
        noise=options.noise,
    )


def fit_detector(
    batch: Batch,
    layout: Layout,
    options: FitOptions,
    *,
    seed: int,
    device: str = "cpu",
    on_progress: Callable[[FitProgress], None] | None = None,
) -> FitResult:
    """Train on a batch of legitimate transactions.

    Each member leaves out a fold of its own: the fold says when to stop and gives the residuals' mean and covariance.

    Args:
        batch: legitimate rows only, encoded.
        seed: of weights, folds, order and noise; no global generator is touched.
        device: a torch device.

    Raises:
        InvalidInput: the options make an illegal shape.
    """
    config = config_for(layout, options)
    generator = torch.Generator().manual_seed(seed)
    detector = FraudDetector(layout, config, options.knot, generator)
    detector.normaliser.fit(batch)
    folds = _folds(len(batch), config.members, options.held_in_share, seed)
    with torch.no_grad():
        dense = detector.normaliser.prepare(*tensors(batch))
    data = _Data(dense.float().to(device), torch.from_numpy(batch.categorical).to(device))
    detector.to(device)
    with _threads(1 if layout.width <= _ONE_THREAD_WIDTH else torch.get_num_threads()):
        history = _train(detector, data, folds, options, generator, on_progress)
    detector.to("cpu").double().eval()
    if options.error == "whitened":
        _whiten(detector, _Data(dense, torch.from_numpy(batch.categorical)), folds, options)
    return FitResult(detector, history)


@dataclass(frozen=True)
class _Data:
    """Prepared rows: dense [n, dense columns] and categories [n, categorical features]."""

    dense: Tensor
    categorical: Tensor

    def embed(self, detector: FraudDetector, rows: Tensor) -> Tensor:
        """x [K, m, D] of row positions [K, m], one set of rows per member."""
        flat = rows.reshape(-1)
        x = detector.normaliser.embed(self.dense[flat], self.categorical[flat])
        return x.reshape(*rows.shape, -1)


def _folds(rows: int, members: int, share: float, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Per member its training rows and its held-in rows; the members' held-in rows overlap as little as possible."""
    order = np.random.default_rng(seed).permutation(rows)
    size = max(1, int(share * rows))
    folds = []
    for member in range(members):
        held_in = np.take(order, np.arange(member * size, (member + 1) * size), mode="wrap")
        folds.append((np.setdiff1d(order, held_in), np.sort(held_in)))
    return folds


def _train(
    detector: FraudDetector,
    data: _Data,
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    options: FitOptions,
    generator: torch.Generator,
    on_progress: Callable[[FitProgress], None] | None,
) -> tuple[FitProgress, ...]:
    device = data.dense.device
    train = torch.from_numpy(np.stack([fold for fold, _ in folds])).to(device)
    held_in = torch.from_numpy(np.stack([fold[:4_096] for _, fold in folds])).to(device)
    rows = train.shape[1]
    batch_rows = min(options.batch_rows, rows)
    steps = options.steps or int(np.clip(40 * rows / batch_rows, 1_000, 3_000))
    optimiser = torch.optim.AdamW(
        detector.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    every = max(1, steps // 40)
    best, best_state, since_best = math.inf, copy.deepcopy(detector.state_dict()), 0
    history: list[FitProgress] = []
    started = time.monotonic()
    order, at = torch.randperm(rows, generator=generator), 0
    running = 0.0
    for step in range(1, steps + 1):
        if at + batch_rows > rows:
            order, at = torch.randperm(rows, generator=generator), 0
        x = data.embed(detector, train[:, order[at : at + batch_rows].to(device)])
        at += batch_rows
        noise = torch.randn(x.shape, generator=generator).to(device) * options.noise
        for group in optimiser.param_groups:
            group["lr"] = options.learning_rate * _schedule(step / steps)
        loss = reconstruction_loss(x, detector.autoencoder(x + noise)) / x.shape[-1]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        running += (loss.item() - running) / ((step - 1) % every + 1)
        if step % every and step != steps:
            continue
        with torch.no_grad():
            clean = data.embed(detector, held_in)
            held_in_loss = float(reconstruction_loss(clean, detector.autoencoder(clean)) / clean.shape[-1])
        seconds_left = (time.monotonic() - started) / step * (steps - step)
        rate = float(optimiser.param_groups[0]["lr"])
        members = len(folds)
        history.append(FitProgress(step, steps, running / members, held_in_loss / members, rate, seconds_left))
        if on_progress:
            on_progress(history[-1])
        if held_in_loss < best:
            best, best_state, since_best = held_in_loss, copy.deepcopy(detector.state_dict()), 0
        else:
            since_best += 1
            if since_best >= 10:
                break
    detector.load_state_dict(best_state)
    return tuple(history)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _schedule(progress: float) -> float:
    """Share of the learning rate: 5 % warm-up, then a cosine to zero."""
    return min(1.0, progress / 0.05) * 0.5 * (1 + math.cos(math.pi * max(0.0, progress - 0.05) / 0.95))


def _whiten(
    detector: FraudDetector,
    data: _Data,
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    options: FitOptions,
) -> None:
    """Set μ and Σ⁻¹ of each member from the residuals of its held-in rows."""
    resolution = detector.normaliser.resolution.numpy()
    with torch.no_grad():
        for member, (_, fold) in enumerate(folds):
            rows = torch.from_numpy(fold[:50_000])
            x = data.embed(detector, rows.expand(len(folds), -1))
            residual = (x - detector.autoencoder(x))[member].numpy()
            mean, precision = _robust_precision(residual, resolution, options.trimmed_share)
            detector.mean[member, 0] = torch.from_numpy(mean)
            detector.precision[member] = torch.from_numpy(precision)


def _robust_precision(
    residual: NDArray[np.float64], resolution: NDArray[np.float64], trimmed: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [D] and inverse covariance [D, D] of residuals [n, D], without the share of rows that fits worst.

    The covariance is shrunk (Ledoit & Wolf, *A well-conditioned estimator for large-dimensional covariance matrices*,
    2004), and each feature's resolution is added as variance: a constant feature cannot make a tiny change explode.
    """
    mean, precision = _precision(residual, resolution)
    rounds = 3 if residual.shape[1] < 150 and trimmed > 0 else 0
    for _ in range(rounds):
        centered = residual - mean
        error = ((centered @ precision) * centered).sum(1)
        mean, precision = _precision(residual[error <= np.quantile(error, 1 - trimmed)], resolution)
    return mean, precision


def _precision(
    residual: NDArray[np.float64], resolution: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = residual.mean(0)
    covariance, _ = ledoit_wolf(residual - mean, assume_centered=True)
    size = float(np.trace(covariance)) / len(covariance)
    covariance = covariance + np.diag(resolution**2 + 1e-8 * size + 1e-12)
    precision = np.linalg.inv(covariance)
    return mean, (precision + precision.T) / 2
