"""A challenger decides what was recorded as it would have decided it itself, and each decision once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from app.pseudonyms import NO_PSEUDONYMS
from app.settings import Settings
from app.shadow.challenger import Challenger
from app.shadow.follow import challengers, follow
from app.shadow.results import Results
from app.store.open import open_store
from app.store.records import Decision, LabelEvent
from app.store.tail import Tail
from models.behaviour.keys import EntityKey
from models.challenge import fresh_from
from models.errors import CounterfoilError, InvalidInput
from models.registry import Registry
from models.rethreshold import rethreshold
from models.scorer import Scorer
from models.thresholds import Policy
from tests.app.faulty_store import FaultyStore
from tests.app.records import Till, changed, sent
from tests.app.store.events import append, decision
from tests.app.traffic import Payments


def recorded(url: str) -> list[Decision]:
    with closing(open_store(url, read_only=True)) as store:
        return [event for event in store.log() if isinstance(event, Decision)]


def serve(scorer: Scorer, url: str, rows: Sequence[bytes]) -> list[Decision]:
    """What is recorded of them; every tenth is labelled in between."""
    with closing((till := Till(scorer, url)).recorder):
        for number, row in enumerate(rows):
            reply = till.reply(row)
            if number % 10 == 0:
                assert till.recorder.label(reply["transaction_id"], "fraud", 2**51, 2**51, None)
    return recorded(url)


def shadowed(challenger: Scorer, registry: Registry, url: str, folder: Path) -> dict[int, float | None]:
    """Score by place."""
    name = challenger.manifest.version
    with closing(open_store(url, read_only=True)) as store, closing(Results(folder / "s.db", writes=True)) as results:
        follow([Challenger(challenger, registry, store, NO_PSEUDONYMS)], store, results, once=True)
        found = results.columns(name, 10_000)
        return dict(zip(found.seq.tolist(), found.score.tolist(), strict=True))


def test_the_same_sections_take_the_recorded_features(payments: Payments, own_store: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "artifacts")
    _, folder = rethreshold(payments.scorer.bundle.path, registry, Policy(name="alert-rate", value=0.2))
    decisions = serve(payments.scorer, own_store, sent(payments, 60))
    found = shadowed(Scorer.load(folder), Registry(payments.artifacts), own_store, tmp_path)
    assert found == {one.seq: one.score for one in decisions}


def test_other_sections_are_replayed_as_if_it_had_served_itself(
    payments: Payments, tiny_scorer: Scorer, own_store: str, tmp_path: Path
) -> None:
    rows = sent(payments, 150)
    served_itself = serve(payments.scorer, f"sqlite:///{tmp_path / 'itself.db'}", rows)
    served = serve(tiny_scorer, own_store, [changed(row, account_age_days=None) for row in rows])
    assert {one.score for one in served}.isdisjoint(one.score for one in served_itself)
    fresh = fresh_from(payments.scorer.manifest)
    expected = {one.seq: one.score for one in served_itself if one.time >= fresh}
    assert shadowed(payments.scorer, Registry(payments.artifacts), own_store, tmp_path) == expected
    # Started again it knows its states as before, and decides nothing twice.
    more = sent(payments, 170)[150:]
    with closing((till := Till(tiny_scorer, own_store)).recorder):
        till.send(*(changed(row, account_age_days=None) for row in more))
    with closing((till := Till(payments.scorer, f"sqlite:///{tmp_path / 'itself.db'}")).recorder):
        till.send(*more)
    again = {one.seq: one.score for one in recorded(f"sqlite:///{tmp_path / 'itself.db'}") if one.time >= fresh}
    assert shadowed(payments.scorer, Registry(payments.artifacts), own_store, tmp_path) == again
    assert len(again) == len(expected) + 20


def test_what_it_has_learned_from_is_left_out(tiny_scorer: Scorer, tiny_frame: pl.DataFrame, tmp_path: Path) -> None:
    from tests.app.traffic import bodies

    url = f"sqlite:///{tmp_path / 'all.db'}"
    rows = bodies(tiny_frame.gather_every(10), tiny_scorer.schema)
    with closing((till := Till(tiny_scorer, url)).recorder):
        for row in rows:
            till.send(row)
    fresh = {one.seq for one in recorded(url) if one.time >= fresh_from(tiny_scorer.manifest)}
    assert 0 < len(fresh) < len(rows) / 2
    assert set(shadowed(tiny_scorer, Registry(tiny_scorer.bundle.path.parent), url, tmp_path)) == fresh


def test_a_decision_of_a_version_that_is_gone_is_counted_and_left_out(
    payments: Payments, own_store: str, tmp_path: Path
) -> None:
    decisions = serve(payments.scorer, own_store, sent(payments, 12))
    assert shadowed(payments.scorer, Registry(tmp_path / "none"), own_store, tmp_path) == {}
    with closing(Results(tmp_path / "s.db", writes=False)) as results:
        assert results.columns(payments.scorer.manifest.version, 100).skipped == len(decisions)


class Reserved(FaultyStore):
    """Several processes write it, and some places are not filled yet."""

    def __init__(self, store: FaultyStore, empty: set[int]) -> None:
        super().__init__(store)
        self.shared, self.empty = True, empty

    def unfinished(self) -> None:
        """It does not know."""

    def log(self, after: int = 0, keys: Sequence[EntityKey] | None = None) -> Iterator[Decision | LabelEvent]:
        return (event for event in self.store.log(after, keys) if event.seq not in self.empty)


def test_places_that_are_filled_late_are_read_and_none_is_read_twice(own_store: str) -> None:
    with closing(open_store(own_store)) as real:
        append(real, *(decision(f"t{i}") for i in range(10)))
        store, tail = Reserved(FaultyStore(real), {3, 6, 7}), Tail()
        seqs = [event.seq for event in tail.read(store, 4)]
        assert (seqs, tail.settled) == ([1, 2, 4, 5], 2)
        store.empty = {6, 7}
        seqs += [event.seq for event in tail.read(store, 100)]
        assert (seqs[4:], tail.settled) == ([3, 8, 9, 10], 5)
        assert tail.read(store, 100) == []
        store.empty = set()
        assert [event.seq for event in tail.read(store, 100)] == [6, 7]
        assert (tail.read(store, 100), tail.settled) == ([], 10)


def test_what_cannot_be_shadowed_is_said(payments: Payments, tiny_scorer: Scorer, own_store: str) -> None:
    serve(payments.scorer, own_store, sent(payments, 2))
    version = payments.scorer.manifest.version
    with closing(open_store(own_store, read_only=True)) as store:
        settings = Settings(artifacts=payments.artifacts)
        with pytest.raises(InvalidInput, match="3 different versions at most"):
            challengers(settings, [version, version], store)
        (one,) = challengers(settings, [version], store)
        assert (one.version, one.replays) == (version, False)
        other = Settings(artifacts=payments.artifacts, model=str(tiny_scorer.bundle.path))
        assert challengers(other, [version], store)
        reverse = Settings(artifacts=tiny_scorer.bundle.path.parent, model=str(payments.scorer.bundle.path))
        with pytest.raises(InvalidInput, match="the version that serves has no column account_age_days"):
            challengers(reverse, [tiny_scorer.manifest.version], store)


def test_one_process_writes(tmp_path: Path) -> None:
    with closing(Results(tmp_path / "s.db", writes=True)):
        with pytest.raises(CounterfoilError, match="another process shadows into this file"):
            Results(tmp_path / "s.db", writes=True)
        with closing(Results(tmp_path / "s.db", writes=False)) as results:
            assert results.settled("v") is None
    with pytest.raises(InvalidInput, match="nothing is shadowed here"):
        Results(tmp_path / "none.db", writes=False)
