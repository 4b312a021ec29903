"""Versions that take over from one another: two trained ones, and damaged ones; replies recomputed offline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
from pydantic_core import to_json

from app.recording.answers import Featured
from app.recording.engine import Engine
from app.requests.arrival import ScoreOptions
from app.requests.encoder import Encoder
from app.requests.model import RequestModel
from models.manifest import MANIFEST
from models.registry import ACTIVE, Registry
from models.scorer import Scorer
from tests.app.traffic import bodies


def copied(registry: Registry, folder: Path) -> Registry:
    """A registry of a test's own."""
    shutil.copytree(registry.root, folder / "artifacts")
    return Registry(folder / "artifacts")


def point_at(registry: Registry, version: str) -> None:
    """Activate without a look at the version, as a careless script may."""
    aside = registry.root / ".active.new"
    aside.write_text(f"{version}\n", encoding="utf-8")
    aside.replace(registry.root / ACTIVE)


def damaged(registry: Registry, version: str) -> str:
    """A copy of a version whose network is not the one that the manifest names."""
    name = f"{version}-damaged"
    shutil.copytree(registry.folder(version), registry.root / name)
    manifest = json.loads((registry.root / name / MANIFEST).read_text())
    manifest["files"]["detector.onnx"] = "0" * 64
    (registry.root / name / MANIFEST).write_text(json.dumps(manifest))
    return name


class Offline:
    """What each version answers, computed without a service."""

    def __init__(self, registry: Registry, versions: list[str]) -> None:
        self._scorers = {version: Scorer.load(registry.folder(version)) for version in versions}

    def bodies(self, frame: pl.DataFrame) -> list[bytes]:
        """Rows as requests."""
        return bodies(frame, next(iter(self._scorers.values())).schema)

    def replies(self, version: str, sent: list[bytes], reasons: int) -> list[bytes]:
        """The answers to requests, byte for byte."""
        scorer = self._scorers[version]
        requests = RequestModel(scorer.schema, 1)
        encoder = Encoder(scorer.schema, scorer.vocabulary)
        arrivals = [encoder.row(requests.one(body), ScoreOptions(reasons)) for body in sent]
        engine = Engine(scorer)
        none = Featured(pl.Series([], dtype=pl.Float64).to_numpy(), approximate=False)
        return [to_json(engine.score([arrival], [none])[0][0]) for arrival in arrivals]
