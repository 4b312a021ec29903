"""A store full of open alerts, for what works on them: the console and the webhooks."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from serving import fit_small

from app.requests.example import example_transaction
from app.service import create_app, load_scorer
from app.settings import Settings
from app.store.contract import Store
from app.store.records import Decision, View, Writes
from models.behaviour.keys import key_digest
from models.scorer import Scorer

_AT_ONCE = 2_000
_START = 1_767_225_600_000_000


def add_arguments(parser: argparse.ArgumentParser, *, alerts: int) -> None:
    """How many alerts, of which model, and where they are kept."""
    parser.add_argument("--alerts", type=int, default=alerts)
    parser.add_argument("--artifacts", type=Path, help="a registry with an active model; default: trains a small one")
    parser.add_argument("--database", help="URL of an empty store; default: SQLite in a temporary folder")


def settings_of(options: argparse.Namespace, folder: Path, **files: Path) -> Settings:
    """Settings of a service on these alerts; what it needs beside goes into the folder."""
    own = Settings(
        artifacts=options.artifacts or fit_small(folder, behaviour=True),
        database_url=options.database or f"sqlite:///{folder / 'log.db'}",
    )
    return own.model_copy(update=files)


def filled(settings: Settings, alerts: int) -> FastAPI:
    """The service, once its store has so many alerts; close its ``state.serving`` in the end."""
    scorer = load_scorer(settings)
    app = create_app(settings, scorer)
    ledger = app.state.serving.ledger
    asyncio.run(ledger.run(lambda: _fill(ledger.recorder.store, scorer, alerts)))
    return app


def _fill(store: Store, scorer: Scorer, alerts: int) -> None:
    """Of as many cards, all open; the bodies are those of the model's example."""
    random = np.random.default_rng(0)
    example = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
    threshold = scorer.manifest.threshold.score
    text = "amount is 120 deviations above the mean of this card in the last hour"
    reply = json.dumps({"reasons": [{"text": text}], "approximate": False})
    entity = next(iter(scorer.schema.entity), "card")
    for start in range(0, alerts, _AT_ONCE):
        scores = threshold + random.random(min(_AT_ONCE, alerts - start)) * (1 - threshold)

        def write(view: View, start: int = start, scores: Any = scores) -> Writes:
            return Writes([made(view.next_seq + i, start + i, float(score)) for i, score in enumerate(scores)])

        def made(seq: int, number: int, score: float) -> Decision:
            card = f"card-{number}"
            body = json.dumps({**example, "card_id": card, "transaction_id": f"tx-{number}"})
            digest, moment = hashlib.sha256(card.encode()).digest(), _START + number * 1_000_000
            version, features = scorer.manifest.version, bytes(480)
            keys = ((entity, key_digest(card)),)
            of_score = (score, 2_400.0, threshold, "review", version, reply.encode())
            return Decision(seq, f"tx-{number}", digest, moment, moment, body, features, *of_score, None, 350, keys)

        store.transact([], [], _AT_ONCE, write)
