"""Rows that are a grid: the convolutional autoencoder beside the dense one, on scikit-learn's digits under added noise.

    python benchmarks/digits.py                                  # five seeds, minutes
    python benchmarks/digits.py --seeds 1 --steps 20             # a tiny run
    python benchmarks/digits.py --seeds 1 --picture docs/digits.png

Trained on the digits 0 to 4 among the first 1,000 pictures, without noise beyond what training itself adds. Measured on
the other 797, to which noise is added: ROC AUC of the digits 5 to 9 against 0 to 4, and the mean squared difference
between the reconstruction and the picture before noise, over the digits 0 to 4, in grey levels (0 to 16). Each method
has its defaults; "dense, one scale" shares the scale of all pixels as the convolutional one does. Prints a Markdown
table; the picture has the rows noisy, reconstructed by the dense one, by the convolutional one, clean.
"""

from __future__ import annotations

import argparse
import struct
import zlib
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from models.normaliser import Normaliser
from models.rows import Batch
from training.estimator import AutoencoderOutlierDetector

_TRAIN, _KNOWN, _SIDE, _WHITE = 1_000, 5, 8, 16
_SHOWN, _SHOWN_NOISE, _ZOOM, _GAP = 12, 4.0, 5, 6
Floats = NDArray[np.float64]


def fit(method: str, X: Floats, seed: int, steps: int | None) -> AutoencoderOutlierDetector:
    """One of the three methods, fitted."""
    if method == "convolutional":
        model = AutoencoderOutlierDetector(
            architecture="convolutional", grid=(_SIDE, _SIDE), steps=steps, random_state=seed
        )
        return model.fit(X)
    dense = AutoencoderOutlierDetector(steps=steps, random_state=seed)
    if method == "dense":
        return dense.fit(X)
    alone = Normaliser.fit

    def alike(self: Normaliser, batch: Batch, least: float | None = None) -> None:
        alone(self, batch, dense.noise)

    with mock.patch.object(Normaliser, "fit", alike):
        return dense.fit(X)


def picture(rows: list[Floats]) -> bytes:
    """Rows of pictures [n, pixels] as a PNG."""
    side = _SIDE * _ZOOM
    canvas = np.full((len(rows) * (side + _GAP) + _GAP, len(rows[0]) * (side + _GAP) + _GAP), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, pixels in enumerate(row):
            grey = np.clip(pixels / _WHITE * 255, 0, 255).astype(np.uint8).reshape(_SIDE, _SIDE)
            top, left = _GAP + r * (side + _GAP), _GAP + c * (side + _GAP)
            canvas[top : top + side, left : left + side] = np.kron(grey, np.ones((_ZOOM, _ZOOM), np.uint8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = canvas.shape
    lines = b"".join(b"\0" + line.tobytes() for line in canvas)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--noise", default="0,2,4", help="deviations of the added noise, in grey levels")
    parser.add_argument("--steps", type=int, help="of the optimiser [default: the detector's own]")
    parser.add_argument("--picture", type=Path, help="file for pictures of the first seed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    levels = [float(level) for level in args.noise.split(",")]
    X, digit = load_digits(return_X_y=True)
    train = X[:_TRAIN][digit[:_TRAIN] < _KNOWN]
    test, strange = X[_TRAIN:], digit[_TRAIN:] >= _KNOWN
    methods = ("dense", "dense, one scale", "convolutional")
    figures: dict[str, list[list[float]]] = {method: [] for method in methods}
    shown = [np.empty(0)] * 2
    for seed in range(args.seeds):
        random = np.random.default_rng(seed)
        noisy = [test + level * random.standard_normal(test.shape) for level in levels]
        chosen = np.flatnonzero(~strange)[:_SHOWN]
        example = test[chosen] + _SHOWN_NOISE * random.standard_normal(test[chosen].shape)
        for method in methods:
            model = fit(method, train, seed, args.steps)
            figures[method].append(
                [roc_auc_score(strange, -model.score_samples(rows)) for rows in noisy]
                + [float(np.square(model.reconstruct(rows[~strange]) - test[~strange]).mean()) for rows in noisy]
            )
            if seed == 0 and method in ("dense", "convolutional"):
                shown[method == "convolutional"] = model.reconstruct(example)
        if seed == 0 and args.picture:
            args.picture.write_bytes(picture([example, *shown, test[chosen]]))
    print(f"{len(train)} training rows, {len(test)} test rows, seeds 0–{args.seeds - 1}\n")
    heads = [f"{what}, noise {level:g}" for what in ("ROC AUC", "error") for level in levels]
    print(f"| method | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for method, values in figures.items():
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(np.mean(values, axis=0), np.std(values, axis=0), strict=True)]
        print(f"| {method} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
