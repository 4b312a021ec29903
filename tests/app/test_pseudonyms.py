"""Ids stored as a keyed hash: the same features and scores as without, and no id in the store."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms, looks_masked
from app.recording.startup import live_states
from app.recording.warm import warm
from app.refusals import InvalidTransaction
from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from app.store.records import Decision
from models.behaviour.events import Behaviour
from models.behaviour.keys import key_digest
from models.behaviour.spec import EntityBehaviour
from models.errors import InvalidInput
from models.pan import contains_card_number
from models.scorer import Scorer
from tests.app.records import Till, as_in_a_file, changed, sent, till
from tests.app.test_server import connect, running
from tests.app.traffic import Payments, label_body
from tests.command_line import Cli
from tests.waiting import FAR

ROWS = 400


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with a secret."""
    path = tmp_path / "pseudonym.key"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o600)
    return path


@pytest.fixture
def hidden(secret: Path) -> dict[str, Any]:
    """The settings that hide cards."""
    return {"pseudonymise": "card_id", "pseudonym_key_file": secret}


def decisions(url: str) -> list[Decision]:
    """What a store has recorded."""
    store = open_store(url, read_only=True)
    found = [event for event in store.log() if isinstance(event, Decision)]
    store.close()
    return found


def files(url: str) -> bytes:
    """A store with its write-ahead log."""
    path = Path(url.removeprefix("sqlite:///"))
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def cards(payments: Payments) -> list[bytes]:
    """The ids of all cards that paid."""
    return [card.encode() for card in payments.frame["card_id"].unique()]


def test_features_and_scores_are_those_without_pseudonyms(
    payments: Payments, own_store: str, tmp_path: Path, hidden: dict[str, Any]
) -> None:
    plain = f"sqlite:///{tmp_path / 'plain.db'}"
    rows = sent(payments, ROWS)
    with till(payments, own_store, **hidden) as one, till(payments, plain) as other:
        assert one.send(*rows, reasons=3) == other.send(*rows, reasons=3)
        assert one.send(*rows[:5]) == other.send(*rows[:5])  # again: the stored answers
        for till_ in (one, other):
            known = till_.recorder.store.find(json.loads(rows[7])["transaction_id"])
            assert known is not None
            till_.recorder.label(known.transaction_id or "", "fraud", known.time + 1, known.time + 1, None)
        assert all(card not in files(own_store) for card in cards(payments))
    mine, theirs = decisions(own_store), decisions(plain)
    assert [one.features for one in mine] == [one.features for one in theirs]
    assert any(json.loads(one.reply)["score"] > 0 for one in mine)
    assert all(card not in files(own_store) for card in cards(payments))
    assert any(card in files(plain) for card in cards(payments))  # the search finds what is there
    with till(payments, own_store, **hidden) as one, till(payments, plain) as other:  # from the saved states
        later = sent(payments, ROWS + 200)[ROWS:]
        assert one.send(*later) == other.send(*later)


def test_cards_are_found_in_the_snapshot(payments: Payments, own_store: str, hidden: dict[str, Any]) -> None:
    with till(payments, own_store, **hidden) as one:
        one.send(*sent(payments, ROWS))
    counts = payments.schema.numeric.index("card.count_30d")
    first = decisions(own_store)[:50]
    assert sum(memoryview(one.features).cast("d")[counts] > 0 for one in first) > 25


def test_a_store_knows_under_which_pseudonyms_it_was_begun(
    payments: Payments, own_store: str, secret: Path, hidden: dict[str, Any]
) -> None:
    with till(payments, own_store):
        pass
    with till(payments, own_store, **hidden) as one:  # nothing was recorded yet
        one.send(*sent(payments, 3))
    other = secret.with_name("other.key")
    other.write_bytes(bytes(range(1, 33)))
    other.chmod(0o600)
    both = hidden | {"pseudonymise": "card_id,merchant_id"}
    for settings in ({}, hidden | {"pseudonym_key_file": other}):
        with pytest.raises(InvalidInput, match="recorded under another COUNTERFOIL_PSEUDONYMISE or another secret"):
            till(payments, own_store, **settings).__enter__()
    with pytest.raises(InvalidInput, match=r"merchant_id is counted by a distinct: or new: feature of entity\.card"):
        till(payments, own_store, **both).__enter__()
    store = open_store(own_store, read_only=True)
    with pytest.raises(InvalidInput, match="another secret"):
        live_states(store, payments.schema, NO_PSEUDONYMS)
    store.close()


def test_a_warmed_store_is_not_begun_anew(
    payments: Payments, own_store: str, tmp_path: Path, hidden: dict[str, Any]
) -> None:
    history = tmp_path / "history.parquet"
    payments.frame.head(100).write_parquet(history)
    warm(Settings(database_url=own_store), payments.scorer, [history])
    with pytest.raises(InvalidInput, match="another secret"):
        till(payments, own_store, **hidden).__enter__()
    warm(Settings(database_url=own_store, **hidden), payments.scorer, [history])
    with till(payments, own_store, **hidden) as one:
        one.send(*sent(payments, 110)[100:])


def test_the_command_line_agrees_with_the_service(
    payments: Payments,
    own_store: str,
    tmp_path: Path,
    hidden: dict[str, Any],
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    early = payments.frame.filter(pl.col("timestamp").dt.date() < date(2026, 1, 11))
    early.write_parquet(tmp_path / "early.parquet")
    rows = payments.frame[early.height : early.height + 200].drop("is_fraud")
    rows.write_parquet(tmp_path / "rows.parquet")
    plain = f"sqlite:///{tmp_path / 'plain.db'}"
    scored = {}
    for url in (plain, own_store):
        if url == own_store:
            monkeypatch.setenv("COUNTERFOIL_PSEUDONYMISE", "card_id")
            monkeypatch.setenv("COUNTERFOIL_PSEUDONYM_KEY_FILE", str(hidden["pseudonym_key_file"]))
        where = ("--artifacts", payments.artifacts, "--database", url)
        assert cli("warm", tmp_path / "early.parquet", *where).code == 0
        for name, more in (("live", ()), ("recorded", ("--record",)), ("again", ("--record",))):
            out = tmp_path / f"{name}.parquet"
            done = cli("score", tmp_path / "rows.parquet", "--out", out, "--state", "live", *more, *where)
            assert done.code == 0, done.err
            scored[url, name] = pl.read_parquet(out)["score"].to_list()
        assert cli("replay", "--since", "1h", *where).out.startswith("200 decisions recomputed, 0 differ")
    assert all(as_in_a_file(scored[plain, "live"]) == found for found in scored.values())
    assert all(card not in files(own_store) for card in cards(payments))
    card = rows["card_id"][0]
    mine = rows.filter(pl.col("card_id") == card).height
    for name in (card, Pseudonyms.open(Settings(**hidden), payments.schema).of(card)):
        assert cli("export", "card.csv", "--card", name, *where).out == f"card.csv: {mine} decisions\n"
    assert card not in (tmp_path / "card.csv").read_text()
    monkeypatch.delenv("COUNTERFOIL_PSEUDONYMISE")
    monkeypatch.delenv("COUNTERFOIL_PSEUDONYM_KEY_FILE")
    done = cli("score", tmp_path / "rows.parquet", "--out", "x.csv", "--state", "live", *where)
    assert (done.code, "another secret" in done.err) == (2, True)
    assert cli("replay", "--since", "1h", *where).code == 0  # it takes no secret to check the log
    for command in (("export", "all.csv"), ("purge",)):
        done = cli(*command, "--card", card, *where)
        assert (done.code, "another secret" in done.err) == (2, True)
    monkeypatch.setenv("COUNTERFOIL_PSEUDONYMISE", "card_id")
    monkeypatch.setenv("COUNTERFOIL_PSEUDONYM_KEY_FILE", str(hidden["pseudonym_key_file"]))
    assert f"{mine} decisions erased" in cli("purge", "--card", card, *where).out


def test_the_service_keeps_no_card_id(payments: Payments, own_store: str, hidden: dict[str, Any]) -> None:
    settings = {f"COUNTERFOIL_{name.upper()}": str(value) for name, value in hidden.items()}
    settings |= {"COUNTERFOIL_DATABASE_URL": own_store, "COUNTERFOIL_LOG_LEVEL": "debug"}
    rows = sent(payments, 40)
    table = payments.frame[20:40].with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    with running(payments.artifacts, **settings) as (process, port, printed), connect(port) as connection:
        assert "Stored as a keyed hash: card_id." in printed

        def post(path: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
            connection.request("POST", path, body, {"Content-Type": kind})
            response = connection.getresponse()
            return response.status, response.read().decode()

        for row in rows[:20]:
            assert post("/v1/score", row)[0] == 200
        assert post("/v1/feedback", label_body(json.loads(rows[0])["transaction_id"], "fraud"))[0] == 200
        status, text = post("/v1/score/csv?state=live", table.write_csv().encode(), "text/csv")
        as_csv = pl.read_csv(text.encode())["score"].to_list()
        assert status == 200
        status, text = post("/v1/score/batch", b'{"transactions":[%b]}' % b",".join(rows[20:]))
        assert [result["score"] for result in json.loads(text)["results"]] == as_csv
        masked = changed(rows[0], transaction_id="411111******1111")
        assert json.loads(post("/v1/score", masked)[1])["errors"] == [
            {
                "field": "transaction_id",
                "message": "looks like a masked card number; beside a pseudonym it must not be kept",
            }
        ]
        batch = json.loads(post("/v1/score/batch", b'{"transactions":[%b,%b]}' % (masked, rows[0]))[1])["results"]
        assert (batch[0]["error"]["status"], "score" in batch[1]) == (422, True)
        assert all(card not in files(own_store) for card in cards(payments))

        def get(path: str) -> str:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            return response.read().decode()

        card, other = (json.loads(row)["card_id"] for row in (rows[0], rows[30]))
        stored = Pseudonyms.open(Settings(**hidden), payments.schema).of(card)
        listed = get(f"/v1/decisions?card={card}")
        assert len(json.loads(listed)["decisions"]) == sum(json.loads(row)["card_id"] == card for row in rows) > 0
        assert get(f"/v1/decisions?card={stored}") == listed
        told = listed + get("/v1/decisions?limit=1000") + get("/v1/decisions/export?format=csv") + get("/metrics")
        assert stored in told
        assert all(one.decode() not in told for one in cards(payments))
        status, text = post("/v1/purge", json.dumps({"card": other}).encode())
        assert (status, json.loads(text)["decisions"]) == (200, sum(json.loads(r)["card_id"] == other for r in rows))
        process.terminate()
        output = "".join(process.communicate(timeout=FAR))
    assert all(card.decode() not in output for card in cards(payments))


def test_a_masked_card_number_in_a_recorded_table_is_a_bad_row(
    payments: Payments,
    own_store: str,
    tmp_path: Path,
    hidden: dict[str, Any],
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in hidden.items():
        monkeypatch.setenv(f"COUNTERFOIL_{name.upper()}", str(value))
    rows = payments.frame.head(3).drop("is_fraud").with_row_index()
    masked = pl.when(pl.col("index") == 1).then(pl.lit("4111 11** **** 1111")).otherwise(pl.col("category"))
    rows.with_columns(masked.alias("category")).drop("index").write_parquet(tmp_path / "rows.parquet")
    where = ("--artifacts", payments.artifacts, "--database", own_store, "--state", "live", "--record")
    done = cli("score", tmp_path / "rows.parquet", "--out", "out.csv", "--on-error", "reject", *where)
    assert done.code == 1
    assert (tmp_path / "out.csv.rejects.csv").read_text().splitlines()[1:] == [
        "2,category,looks like a masked card number; beside a pseudonym it must not be kept"
    ]
    assert len(decisions(own_store)) == 2


def test_a_pseudonym_is_a_keyed_hash_of_the_digest(hidden: dict[str, Any], payments: Payments) -> None:
    pseudonyms = Pseudonyms.open(Settings(**hidden), payments.schema)
    made = {pseudonyms.of(f"card-{number}") for number in range(2_000)}
    assert len(made) == 2_000
    assert all(re.fullmatch(r"pn_[a-z2-7]{32}", one) and not contains_card_number(one) for one in made)
    one = pseudonyms.of("card-1")
    assert pseudonyms.of(one) == one  # a stored id can be sent again
    assert pseudonyms.of("pn_card-1") != "pn_card-1"
    assert Pseudonyms(("card_id",), b"x" * 32).of("card-1") != one
    keys = [("card", key_digest("card-1")), ("merchant", key_digest("shop"))]
    moved = pseudonyms.states(Behaviour(payments.schema), dict.fromkeys(keys, np.zeros(3, np.int64)))
    assert list(moved) == [("card", key_digest(one)), keys[1]]
    assert pseudonyms.stored("card_id", "card-1") == one
    assert pseudonyms.stored("merchant_id", "card-1") == NO_PSEUDONYMS.stored("card_id", "card-1") == "card-1"


@pytest.mark.parametrize(
    "text",
    [
        "411111******1111", "4111 11** **** 1111", "4111-11XX-XXXX-1111", "411111xxxxxx1111", "card 411111...1111",
        "411111\u20261111", "378282\u2022\u2022\u2022\u2022\u20220005", "4111########1111", "41111111****1111",
        "\uff14\uff11\uff11\uff11\uff11\uff11******1111",
    ],
)  # fmt: skip
def test_masked_card_numbers_are_told(text: str) -> None:
    assert looks_masked(text)


@pytest.mark.parametrize(
    "text",
    ["", "card-000123", "************1111", "411111******", "4111.1111", "2026-01-31", "411111", "a*b", "4x1111"],
)
def test_other_texts_are_not_masked_ones(text: str) -> None:
    assert not looks_masked(text)


def test_masked_card_numbers_are_nobodys_business_without_pseudonyms(payments: Payments, own_store: str) -> None:
    with till(payments, own_store) as one:
        assert one.reply(changed(sent(payments, 1)[0], card_id="411111******1111"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pseudonymise": "card"}, "has no such entity column; it has card_id, merchant_id"),
        ({"pseudonymise": "amount"}, "has no such entity column; it has card_id, merchant_id"),
        ({"pseudonymise": " , "}, "names a secret and COUNTERFOIL_PSEUDONYMISE no column"),
        ({"pseudonym_key_file": None}, "needs a secret; name its file in COUNTERFOIL_PSEUDONYM_KEY_FILE"),
        ({"pseudonym_key_file": Path("/nowhere/key")}, "/nowhere/key: no such file or directory"),
    ],
)
def test_settings_that_do_not_fit_are_told(
    payments: Payments, hidden: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        Pseudonyms.open(Settings(**hidden | change), payments.schema)


def test_a_weak_or_open_key_file_is_refused(payments: Payments, hidden: dict[str, Any], secret: Path) -> None:
    for weak in (bytes(range(31)), b"x" * 32):
        secret.write_bytes(weak)
        with pytest.raises(InvalidInput, match=r"at least 32 random bytes; make it with \(umask 077; head -c 32"):
            Pseudonyms.open(Settings(**hidden), payments.schema)
    secret.write_bytes(b"xxxx" + bytes(range(32)))
    secret.chmod(0o604)
    with pytest.raises(InvalidInput, match=r"PSEUDONYM_KEY_FILE: .*others than its owner may use this file") as caught:
        Pseudonyms.open(Settings(**hidden), payments.schema)
    assert "xxx" not in str(caught.value)


def test_a_column_whose_values_are_counted_cannot_be_hidden(hidden: dict[str, Any], payments: Payments) -> None:
    counts = EntityBehaviour(key="merchant_id", windows=("1d",), features=("distinct:card_id",))
    schema = payments.schema.model_copy(update={"entity": {**payments.schema.entity, "shop": counts}}).checked()
    with pytest.raises(InvalidInput, match=r"card_id is counted by a distinct: or new: feature of entity\.shop"):
        Pseudonyms.open(Settings(**hidden), schema)


def test_the_service_refuses_to_start_with_a_wrong_setting(payments: Payments, secret: Path, own_store: str) -> None:
    settings = Settings(pseudonymise="pan", pseudonym_key_file=secret, database_url=own_store)
    with pytest.raises(InvalidInput, match="setting COUNTERFOIL_PSEUDONYMISE: profile 'payments' has no"):
        create_app(settings, payments.scorer)


def test_a_model_without_behaviour_hides_ids_too(
    tiny_scorer: Scorer, own_store: str, hidden: dict[str, Any], transaction: dict[str, Any]
) -> None:
    one = Till(tiny_scorer, own_store, **hidden)
    one.reply(json.dumps({**transaction, "card_id": "card-in-the-clear"}).encode())
    with pytest.raises(InvalidTransaction):
        one.reply(json.dumps({**transaction, "card_id": "411111******1111"}).encode())
    one.recorder.close()
    assert b"card-in-the-clear" not in files(own_store)
    assert transaction["merchant_id"].encode() in files(own_store)
    with pytest.raises(InvalidInput, match="another secret"):
        Till(tiny_scorer, own_store)
