"""The estimator is a scikit-learn outlier detector, and the same detector as the command line's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from models.detector import export_onnx
from models.graph import Graph
from models.manifest import ERROR
from models.normaliser import Layout
from models.rows import Batch
from training import AutoencoderOutlierDetector
from training.fit import FitOptions, fit_detector

TINY: dict[str, Any] = {"steps": 40, "hidden": (8,), "members": 2, "random_state": 0}


@parametrize_with_checks([AutoencoderOutlierDetector(**TINY)])  # type: ignore[untyped-decorator]
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points near a plane in 6 dimensions; test points off it are outliers."""
    random = np.random.default_rng(1)
    plane = random.standard_normal((3, 6))
    train = random.standard_normal((600, 3)) @ plane + 0.1 * random.standard_normal((600, 6))
    inside = random.standard_normal((200, 3)) @ plane + 0.1 * random.standard_normal((200, 6))
    outside = random.standard_normal((50, 3)) @ plane + random.standard_normal((50, 6))
    return train, np.vstack([inside, outside]), np.repeat([0, 1], [200, 50])


def test_lower_scores_are_more_abnormal(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    train, test, outlier = data
    model = AutoencoderOutlierDetector(contamination=0.05, random_state=0).fit(train)
    assert roc_auc_score(outlier, -model.score_samples(test)) > 0.95
    np.testing.assert_allclose(model.decision_function(test), model.score_samples(test) - model.offset_)
    np.testing.assert_array_equal(model.predict(test), np.where(model.decision_function(test) < 0, -1, 1))
    assert np.mean(model.predict(train) == -1) == pytest.approx(0.05, abs=0.01)


def test_frames_of_every_kind_give_the_same_scores(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    train, test, _ = data
    names = [f"v{i}" for i in range(train.shape[1])]
    expected = AutoencoderOutlierDetector(**TINY).fit(train).score_samples(test)
    for frame in (pd.DataFrame, lambda values, columns: pl.DataFrame(values, schema=columns)):
        model = AutoencoderOutlierDetector(**TINY).fit(frame(train, columns=names))
        assert list(model.feature_names_in_) == names
        np.testing.assert_array_equal(model.score_samples(frame(test, columns=names)), expected)


def test_missing_values_are_learned_and_scored(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    train, test, _ = data
    train, test = train.copy(), test.copy()
    train[::5, 2] = np.nan
    test[::3, :2] = np.nan
    assert np.isfinite(AutoencoderOutlierDetector(**TINY).fit(train).score_samples(test)).all()


def test_it_is_the_command_lines_detector(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    train = data[0]
    model = AutoencoderOutlierDetector(random_state=7, steps=40, hidden=(8,), members=2).fit(train)
    seed = int(np.random.RandomState(7).randint(np.iinfo(np.int32).max))
    layout = Layout(6, (False,) * 6, (), (), ())
    batch = Batch(train, np.empty((len(train), 0), np.int64), np.zeros(len(train), np.int64))
    options = FitOptions(steps=40, hidden=(8,), members=2)
    state = fit_detector(batch, layout, options, seed=seed).detector.state_dict()
    for name, value in model.detector_.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name].numpy(), err_msg=name)


def test_pipeline_clone_and_grid_search(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    train, test, outlier = data
    pipeline = make_pipeline(StandardScaler(), clone(AutoencoderOutlierDetector(**TINY)))
    search = GridSearchCV(
        pipeline,
        {"autoencoderoutlierdetector__members": [1, 2]},
        scoring=lambda model, X, y: roc_auc_score(y, -model.score_samples(X)),
        cv=StratifiedKFold(2, shuffle=True, random_state=0),
    )
    search.fit(np.vstack([train, test]), np.concatenate([np.zeros(len(train)), outlier]))
    assert search.best_score_ > 0.5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contamination": 0.9}, "contamination"),
        ({"error": "cosine"}, "error"),
        ({"code_size": 6}, "not narrower"),
        ({"architecture": "overcomplete", "noise": 0.0}, "without noise"),
        ({"architecture": "convolutional"}, "need each other"),
        ({"architecture": "convolutional", "grid": (2, 2)}, "does not fit the 6 inputs"),
    ],
)
def test_wrong_parameters_are_refused_with_the_reason(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        AutoencoderOutlierDetector(**(TINY | parameters)).fit(data[0])


def waves(rows: int, seed: int) -> np.ndarray:
    """Pictures of 6 × 6 places with one wave each, anywhere."""
    random = np.random.default_rng(seed)
    phase, along = random.uniform(0, 2 * np.pi, (2, rows, 1, 1))
    place = np.arange(6)
    height: np.ndarray = np.sin(phase + np.cos(along) * place[:, None] + np.sin(along) * place)
    return height.reshape(rows, 36)


def test_a_grid_is_convolved_and_cleaned() -> None:
    model = AutoencoderOutlierDetector(**TINY | {"steps": 150}, architecture="convolutional", grid=(6, 6))
    model.fit(waves(600, 0))
    clean = waves(300, 1)
    noisy = clean + 0.4 * np.random.default_rng(2).standard_normal(clean.shape)
    assert np.square(model.reconstruct(noisy) - clean).mean() < 0.6 * 0.4**2
    mixed = np.random.default_rng(3).permuted(noisy, axis=1)
    assert roc_auc_score(np.repeat([0, 1], 300), -model.score_samples(np.vstack([noisy, mixed]))) > 0.9
    graph = Graph(export_onnx(model.detector_))
    batch = Batch(noisy, np.empty((300, 0), np.int64), np.zeros(300, np.int64))
    np.testing.assert_allclose(graph.run(batch, ERROR)[0], -model.score_samples(noisy), rtol=1e-9)
    with pytest.raises(ValueError, match="missing values"):
        model.fit(np.where(noisy > 1, np.nan, noisy))


def labelled(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in 6 dimensions; a tenth is fraud, a little high in two numbers at once."""
    random = np.random.default_rng(seed)
    fraud = (random.random(rows) < 0.1).astype(int)
    return random.standard_normal((rows, 6)) + 1.8 * fraud[:, None] * np.array([1, 1, 0, 0, 0, 0]), fraud


def test_known_labels_rank_better_and_unknown_ones_do_not_count() -> None:
    X, y = labelled(1_500, 0)
    test, fraud = labelled(2_000, 1)
    alone = AutoencoderOutlierDetector(**TINY).fit(X[y == 0])
    taught = AutoencoderOutlierDetector(**TINY, labels="use", contamination=0.05).fit(X, y)
    assert taught.judgement_ is not None
    assert taught.judgement_.better and taught.judgement_.fraud == y.sum()
    assert roc_auc_score(fraud, -taught.score_samples(test)) > roc_auc_score(fraud, -alone.score_samples(test)) + 0.1
    assert np.mean(taught.predict(test[fraud == 0]) == -1) == pytest.approx(0.05, abs=0.05)
    strange = np.vstack([X, 9 + X[:300]])
    with_unknown = AutoencoderOutlierDetector(**TINY, labels="use").fit(strange, np.append(y, np.full(300, -1)))
    assert with_unknown.judgement_ is not None
    assert with_unknown.judgement_.rows == len(X)


def test_labels_that_are_ignored_absent_or_useless_change_nothing() -> None:
    X, y = labelled(1_500, 0)
    plain = AutoencoderOutlierDetector(**TINY).fit(X).score_samples(X)
    np.testing.assert_array_equal(AutoencoderOutlierDetector(**TINY).fit(X, y).score_samples(X), plain)
    use = AutoencoderOutlierDetector(**TINY, labels="use")
    np.testing.assert_array_equal(clone(use).fit(X).score_samples(X), plain)
    useless = clone(use).fit(X, np.random.default_rng(2).permutation(y))
    assert useless.judgement_ is not None
    assert not useless.judgement_.better and useless.detector_.second is None


@pytest.mark.parametrize("y", [np.full(40, 2), np.zeros(39), np.full(40, np.nan), ["fraud"] * 40])
def test_other_labels_are_refused(y: Any) -> None:
    with pytest.raises(ValueError, match="y must have one label a row"):
        AutoencoderOutlierDetector(**TINY, labels="use").fit(labelled(40, 0)[0], y)
