"""Reasons can be had afterwards, and are those that an earlier question would have been answered with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from app.decisions.later_reasons import later_reasons
from app.requests.example import example_transaction
from models.registry import Registry
from models.scorer import Scorer
from tests.app.recording.test_recorder import recorded
from tests.app.records import Till, replies, sent, till
from tests.app.traffic import Payments
from tests.command_line import Cli

ROWS = 120


@pytest.fixture
def silent(payments: Payments, own_store: str) -> str:
    """A store whose decisions were answered without reasons."""
    with till(payments, own_store) as one:
        replies(one.send(*sent(payments, ROWS)))
    return own_store


def test_they_are_those_that_would_have_been_answered(payments: Payments, silent: str, tmp_path: Path) -> None:
    with till(payments, f"sqlite:///{tmp_path / 'told.db'}") as other:
        told = [json.loads(reply) for reply in replies(other.send(*sent(payments, ROWS), reasons=4))]
    assert {reply["is_anomaly"] for reply in told} == {True, False}  # their reasons are ordered in another way
    alerts = [place for place, reply in enumerate(told) if reply["is_anomaly"]]
    decisions = recorded(silent)
    for place in (0, ROWS // 2, *alerts[:3]):
        decision, reply = decisions[place], told[place]
        assert json.loads(decision.reply)["reasons"] == []
        again = later_reasons(decision, Registry(payments.artifacts), 4)
        assert [reason.text for reason in again] == [reason["text"] for reason in reply["reasons"]]
        assert [reason.share for reason in again] == [reason["share"] for reason in reply["reasons"]]


def test_the_command_line_prints_them_even_where_history_was_erased(payments: Payments, silent: str, cli: Cli) -> None:
    place = ("--database", silent, "--artifacts", payments.artifacts)
    decision = recorded(silent)[-1]
    name = decision.transaction_id or ""
    texts = [reason.text for reason in later_reasons(decision, Registry(payments.artifacts), 3)]
    done = cli("replay", name, "--reasons", "3", *place)
    assert (done.code, done.out.splitlines()) == (0, texts)
    assert recorded(silent)[-1] == decision  # nothing was written
    card = json.loads(recorded(silent)[-2].body)["card_id"]
    assert cli("purge", "--card", card, *place).code == 0
    assert "erased history" in cli("replay", name, *place).err
    assert cli("replay", name, "--reasons", "3", *place).out.splitlines() == texts


def test_without_ids_the_place_names_the_decision(nameless: Registry, own_store: str, cli: Cli) -> None:
    scorer = Scorer.load(nameless.resolve(None))
    one = Till(scorer, own_store)
    body = json.dumps(example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)).encode()
    reply = one.reply(body, reasons=2)
    one.recorder.close()
    done = cli("replay", "1", "--reasons", "2", "--database", own_store, "--artifacts", nameless.root)
    assert done.out.splitlines() == [reason["text"] for reason in reply["reasons"]]


def test_what_cannot_be_told_is_said(payments: Payments, silent: str, cli: Cli, tmp_path: Path) -> None:
    place = ("--database", silent, "--artifacts", payments.artifacts)
    name = recorded(silent)[0].transaction_id or ""
    for arguments, message in (
        (("nobody", "--reasons", "3"), "no transaction with this id is recorded"),
        (("--since", "1d", "--reasons", "3"), "--reasons: of which transaction?"),
        ((name, "--reasons", "21"), "--reasons"),
    ):
        done = cli("replay", *arguments, *place)
        assert done.code == 2 and message in done.err, done.err
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    version = payments.scorer.manifest.version
    (tmp_path / "artifacts" / version).rename(tmp_path / "artifacts" / f"{version[:-8]}00000000")
    done = cli("replay", name, "--reasons", "3", "--database", silent, "--artifacts", tmp_path / "artifacts")
    assert done.code == 2 and version in done.err
