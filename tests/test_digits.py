"""Data the project was never made for: pictures of digits as rows of pixels, through the real command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from tests.command_line import Cli

#: A guess would leave out the pixels that are always white.
PROFILE = ("--profile", "pixels.toml")


@pytest.mark.parametrize(
    "network",
    [
        ("--members", "2", "--hidden", "32"),
        ("--members", "1", "--hidden", "4,8", "--architecture", "convolutional", "--grid", "8,8", *PROFILE),
    ],
)
def test_digits_never_seen_score_higher(tmp_path: Path, cli: Cli, network: tuple[str, ...]) -> None:
    digits = load_digits()
    known = digits.target < 4
    order = np.random.default_rng(0).permutation(int(known.sum()))
    frame = pl.DataFrame(digits.data, schema=[f"pixel_{i}" for i in range(64)])
    usual = frame.filter(pl.Series(known))[order]
    columns = "".join(f'{name} = {{ kind = "numeric" }}\n' for name in frame.columns)
    (tmp_path / "pixels.toml").write_text(f'name = "pixels"\n\n[columns]\n{columns}')
    usual[:570].write_csv(tmp_path / "train.csv")
    held_out = pl.concat([usual[570:], frame.filter(pl.Series(~known))])
    held_out.write_csv(tmp_path / "new.csv")
    assert cli("train", "train.csv", *network, "--alert-rate", "0.05").code == 0
    assert cli("score", "new.csv", "--out", "scored.csv").code == 0
    score = pl.read_csv(tmp_path / "scored.csv")["score"]
    strange = np.arange(held_out.height) >= usual.height - 570
    assert roc_auc_score(strange, score) > 0.9
    assert score.to_numpy()[~strange].mean() == pytest.approx(0.5, abs=0.12)
