"""The training loop: all members at once, early stopping on held-in rows, one progress report now and then."""

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
from torch import Tensor

from models.autoencoder import reconstruction_loss
from models.detector import FraudDetector
from models.errors import InvalidInput
from training.adam import Adam
from training.ranks import ALONE, Ranks

#: Up to this many inputs the matrices are too small to share: a second thread would only wait for the first.
_ONE_THREAD_WIDTH = 512
_EPOCHS, _MIN_STEPS, _MAX_STEPS = 24, 1_000, 4_000
_REPORTS = 40
_PATIENCE = 10  # reports without a better held-in loss
_HELD_IN_ROWS = 4_096
_WARM_UP = 0.05


@dataclass(frozen=True)
class FitProgress:
    """State of a running fit: steps done and in all, loss per row, member and input, learning rate, seconds left."""

    step: int
    steps: int
    loss: float
    held_in_loss: float
    learning_rate: float
    seconds_left: float


@dataclass(frozen=True)
class Rows:
    """Prepared rows: dense [n, dense columns] and categories [n, categorical features]."""

    dense: Tensor
    categorical: Tensor

    def embed(self, detector: FraudDetector, rows: Tensor, knot: float) -> Tensor:
        """x [K, m, D] of row positions [K, m], one set of rows per member."""
        flat = rows.reshape(-1)
        x = detector.normaliser.embed(self.dense[flat], self.categorical[flat], knot)
        return x.reshape(*rows.shape, -1)


def optimise(
    detector: FraudDetector,
    rows: Rows,
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    *,
    bound: float,
    steps: int | None,
    batch_rows: int,
    learning_rate: float,
    generator: torch.Generator,
    device: str,
    ranks: Ranks = ALONE,
    on_progress: Callable[[FitProgress], None] | None,
) -> tuple[FitProgress, ...]:
    """Train the ensemble and the embeddings; leaves the weights of the best held-in loss, on the CPU.

    Args:
        folds: per member the rows it trains on and those it is judged by.
        bound: of :func:`models.autoencoder.reconstruction_loss`.
        ranks: those that do it together.
        steps: None sizes them from the rows; the fewest are fewer above 512 inputs, whose steps cost more and say more.
    """
    members = len(folds)
    count = len(folds[0][0])
    batch_rows = min(batch_rows, count)
    if batch_rows < ranks.count:
        raise InvalidInput(f"{ranks.count} processes have no more than {batch_rows} rows to share; start fewer")
    fewest = int(_MIN_STEPS * min(1, max(_ONE_THREAD_WIDTH / detector.owner.shape[0], 0.2)))
    steps = steps or int(np.clip(_EPOCHS * count / batch_rows, fewest, _MAX_STEPS))
    data = Rows(rows.dense.float().to(device), rows.categorical.to(device))
    train = torch.from_numpy(np.stack([fold for fold, _ in folds])).to(device)
    held_in = torch.from_numpy(np.stack([fold[:_HELD_IN_ROWS] for _, fold in folds])).to(device)
    detector.to(device)
    network, knot, noise = detector.autoencoder, detector.knots[0], detector.autoencoder.config.noise
    unit = detector.normaliser.departure.float()
    optimiser = Adam(detector.parameters(), betas=(0.9, 0.99))
    mine, shape = ranks.of(batch_rows), (members, batch_rows, detector.owner.shape[0])
    every = max(1, steps // _REPORTS)
    best, best_state, since_best = math.inf, copy.deepcopy(detector.state_dict()), 0
    history: list[FitProgress] = []
    started = time.monotonic()
    order, at, running = torch.randperm(count, generator=generator), 0, torch.zeros((), device=device)
    with _threads(1 if rows.dense.shape[1] <= _ONE_THREAD_WIDTH else torch.get_num_threads()):
        for step in range(1, steps + 1):
            if at + batch_rows > count:
                order, at = torch.randperm(count, generator=generator), 0
            x = data.embed(detector, train[:, order[at : at + batch_rows][mine].to(device)], knot)
            at += batch_rows
            rate = learning_rate * _schedule(step / steps)
            noisy = x + noise * torch.randn(shape, generator=generator)[:, mine].to(device) if noise else x
            loss = reconstruction_loss(x, network(noisy), unit, bound)
            loss.backward()  # type: ignore[no-untyped-call]
            running += ranks.add_up(loss, detector.parameters(), x.shape[1] / batch_rows)
            optimiser.step(rate)
            if step % every and step != steps:
                continue
            with torch.no_grad():
                clean = data.embed(detector, held_in, knot)
                held_in_loss = float(reconstruction_loss(clean, network(clean), unit, bound))
            state = FitProgress(
                step=step,
                steps=steps,
                loss=float(running) / ((step - 1) % every + 1) / members,
                held_in_loss=held_in_loss / members,
                learning_rate=rate,
                seconds_left=(time.monotonic() - started) / step * (steps - step),
            )
            running.zero_()
            history.append(state)
            if on_progress:
                on_progress(state)
            if held_in_loss < best:
                best, best_state, since_best = held_in_loss, copy.deepcopy(detector.state_dict()), 0
            elif (since_best := since_best + 1) >= _PATIENCE:
                break
    detector.load_state_dict(best_state)
    detector.to("cpu")
    return tuple(history)


def _schedule(progress: float) -> float:
    """Share of the learning rate: a linear warm-up, then a cosine to zero."""
    cosine = math.cos(math.pi * max(0.0, progress - _WARM_UP) / (1 - _WARM_UP))
    return min(1.0, progress / _WARM_UP) * 0.5 * (1 + cosine)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
