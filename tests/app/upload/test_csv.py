"""POST /v1/score/csv: the same rows come back in order with their scores, and a broken stream looks broken."""

from __future__ import annotations

import asyncio
import csv
import io
from itertools import chain, cycle, repeat
from pathlib import Path

import polars as pl
import pytest
from fastapi import FastAPI

from app.service import create_app
from app.settings import Settings
from app.upload import scoring
from app.upload.scoring import CsvScoring
from models.annotate import WITHHELD, added_columns, scored_frame
from models.behaviour.events import Behaviour
from models.behaviour.state_fork import StateFork
from models.csv_stream import CHUNK_BYTES
from models.errors import InvalidInput
from models.parsing import parse_rows
from models.scorer import Scorer
from models.tables import csv_bytes
from tests.app.calls import CARDS, Client, exchange
from tests.app.traffic import Payments

CSV = {"Content-Type": "text/csv"}


@pytest.fixture(scope="module")
def table(tiny_csv: Path) -> bytes:
    """A few hundred payments."""
    return b"".join(tiny_csv.read_bytes().splitlines(keepends=True)[:301])


def rows_of(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_rows_come_back_in_order_with_their_scores(client: Client, table: bytes, tiny_scorer: Scorer) -> None:
    response = client.post("/v1/score/csv?reasons=2", content=table, headers=CSV)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    sent, received = rows_of(table.decode()), rows_of(response.text)
    assert list(received[0]) == [*sent[0], *added_columns(2), "error"]
    assert [{name: row[name] for name in sent[0]} for row in received] == sent
    frame = pl.read_csv(table, infer_schema=False)
    expected = scored_frame(tiny_scorer, frame, parse_rows(tiny_scorer.schema, frame), 2)
    for row, wanted in zip(received, expected.to_dicts(), strict=True):
        assert float(row["score"]) == wanted["score"]
        assert float(row["reconstruction_error"]) == wanted["reconstruction_error"]
        assert row["is_anomaly"] == str(wanted["is_anomaly"]).lower()
        assert row["decision"] == wanted["decision"]
        assert row["reason_2"] == wanted["reason_2"]
        assert row["error"] == ""


def test_csv_and_json_agree(client: Client, table: bytes) -> None:
    received = rows_of(client.post("/v1/score/csv", content=table, headers=CSV).text)
    for sent, row in list(zip(rows_of(table.decode()), received, strict=True))[:30]:
        numbers = {name: float(sent[name]) for name in ("latitude", "longitude")}
        age = float(sent["account_age_days"]) if sent["account_age_days"] else None
        body = {**sent, **numbers, "account_age_days": age}
        del body["is_fraud"], body["fraud_scenario"]
        reply = client.post("/v1/score", json=body).json()
        assert reply["score"] == pytest.approx(float(row["score"]), rel=1e-6)
        assert reply["reconstruction_error"] == pytest.approx(float(row["reconstruction_error"]), rel=1e-6)


def test_bad_rows_keep_their_place_and_say_why(client: Client, table: bytes) -> None:
    lines = table.decode().splitlines()[:9]
    header, amount = lines[0], lines[0].split(",").index("amount")

    def with_amount(line: str, value: str) -> str:
        cells = line.split(",")
        return ",".join([*cells[:amount], value, *cells[amount + 1 :]])

    lines[2] = with_amount(lines[2], "n/a")
    lines[4] = with_amount(lines[4], "-5")
    lines[5] = "too,few"
    lines[6] = with_amount(lines[6], "")
    lines[7] = with_amount(lines[7], '"1,5"')
    received = rows_of(client.post("/v1/score/csv?reasons=1", content="\n".join(lines), headers=CSV).text)
    assert [row["error"] for row in received] == [
        "",
        "line 3, column amount: not a number",
        "",
        "line 5, column amount: must be at least 0 and at most 1e+09",
        f"line 6: 2 cells, expected {len(header.split(','))} as in the header",
        "line 7, column amount: missing value",
        "line 8, column amount: not a number",
        "",
    ]
    for row in received:
        assert bool(row["score"]) is not bool(row["error"])
        assert bool(row["reason_1"]) is not bool(row["error"])
    assert received[1]["amount"] == "n/a"
    assert received[6]["amount"] == "1,5"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_delimiter_is_kept(client: Client, table: bytes, delimiter: str) -> None:
    text = "\r\n".join(line.replace(",", delimiter) for line in table.decode().splitlines()[:5])
    response = client.post("/v1/score/csv", content=("\ufeff" + text).encode(), headers=CSV)
    received = rows_of(response.text, delimiter)
    assert [row["error"] for row in received] == [""] * 4
    assert [row["decision"] for row in received if row["decision"]] != []


def test_quoted_line_breaks_survive(client: Client, table: bytes) -> None:
    header, *lines = table.decode().splitlines()[:4]
    note = ['"two\nlines, and ""quotes"""', "plain", '"three\n\nlines"']
    text = "\n".join([header + ",note", *(f"{line},{cell}" for line, cell in zip(lines, note, strict=True))])
    received = rows_of(client.post("/v1/score/csv", content=text, headers=CSV).text)
    assert [row["note"] for row in received] == ['two\nlines, and "quotes"', "plain", "three\n\nlines"]
    assert all(row["score"] for row in received)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "blank"),
        (b"a,b\n1,2\n", "lacks 12 of the 12"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b'"a\n', "header"),
        (b"a,a\n1,2\n", "has the name of column 1"),
        (CARDS[0].encode() + b",b\n", "lacks"),
    ],
)
def test_an_unusable_header_is_refused_before_any_output(client: Client, text: bytes, words: str) -> None:
    response = client.post("/v1/score/csv", content=text, headers=CSV)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:counterfoil:problem:invalid-csv"
    assert words in response.json()["detail"]
    assert CARDS[0] not in response.text


def test_missing_columns_are_named(client: Client, table: bytes) -> None:
    text = table.replace(b"amount", b"total", 1).replace(b"country", b"land", 1)
    response = client.post("/v1/score/csv", content=text, headers=CSV)
    assert response.json()["errors"] == [
        {"field": "country", "message": "missing column"},
        {"field": "amount", "message": "missing column"},
    ]


@pytest.mark.parametrize("name", ["score", "decision", "error", "reason_1"])
def test_a_column_in_the_way_is_named(client: Client, table: bytes, name: str) -> None:
    text = b"\n".join(
        line + (b"," + name.encode() if number == 0 else b",1") for number, line in enumerate(table.splitlines())
    )
    response = client.post("/v1/score/csv?reasons=1", content=text, headers=CSV)
    assert response.status_code == 422
    assert f"column {name}:" in response.json()["detail"]


def test_a_header_alone_gives_a_header(client: Client, table: bytes) -> None:
    header = table.splitlines()[0]
    for text in (header, header + b"\n"):
        response = client.post("/v1/score/csv", content=text, headers=CSV)
        assert response.status_code == 200
        assert response.text == header.decode() + ",score,reconstruction_error,is_anomaly,decision,error\n"


def test_card_numbers_do_not_come_back(client: Client, table: bytes) -> None:
    header, first, second, third = table.decode().splitlines()[:4]
    cells = second.split(",")
    cells[2] = CARDS[0]
    lines = [header + ",note", first + f",pan {CARDS[1]}", ",".join(cells) + ",x", third + ",0.4111111111111111"]
    response = client.post("/v1/score/csv", content="\n".join(lines), headers=CSV)
    received = rows_of(response.text)
    assert [row["note"] for row in received] == [WITHHELD, "x", "0.4111111111111111"]
    assert received[1]["card_id"] == WITHHELD
    assert "card number" in received[1]["error"]
    assert not any(card in response.text for card in CARDS if card != "4111111111111111")
    assert CARDS[0] not in response.text.replace("0.4111111111111111", "")


def test_chunks_do_not_show(tiny_scorer: Scorer, table: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_FEW", 1_024)  # the scorer for many has the first part, too
    header, rest = table.split(b"\n", 1)
    body = header + b"\n" + rest * (CHUNK_BYTES // len(rest) + 2)
    lines = body.splitlines(keepends=True)
    lines[700] = b"broken\n"
    lines[-3] = b"broken,too\n"
    whole = CsvScoring(tiny_scorer, 0)
    expected = b"".join(chain(whole.feed(b"".join(lines)), whole.finish()))
    piecewise = CsvScoring(tiny_scorer, 0, pressed=cycle([True, True, False]).__next__)
    body = b"".join(lines)
    step = 777_777
    pieces = [*chain.from_iterable(piecewise.feed(body[start : start + step]) for start in range(0, len(body), step))]
    assert len(pieces) > 2
    result = b"".join(chain(pieces, piecewise.finish()))
    assert result == expected
    received = rows_of(result.decode())
    assert len(received) == len(lines) - 1
    wrong = {number: row["error"] for number, row in enumerate(received) if row["error"]}
    assert list(wrong) == [699, len(lines) - 4]
    assert wrong[699].startswith("line 701:")


def test_an_error_after_output_began_leaves_the_stream_open(
    app: FastAPI, table: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    header, rest = table.split(b"\n", 1)
    good = rest * (CHUNK_BYTES // len(rest) + 2)
    endless = b'"' + b"x" * (17 << 20)
    parts = [header + b"\n" + good, *(endless[start : start + (1 << 20)] for start in range(0, len(endless), 1 << 20))]
    result = asyncio.run(exchange(app, "/v1/score/csv", parts, CSV))
    assert result.status == 200
    assert result.body
    assert not result.complete
    assert "the CSV was broken off: the body: line" in caplog.text


def test_a_client_that_stops_sending_gets_no_complete_result(app: FastAPI, table: bytes) -> None:
    header, rest = table.split(b"\n", 1)
    good = rest * (CHUNK_BYTES // len(rest) + 2)

    async def cut_off() -> bool:
        async def receive() -> dict[str, object]:
            return messages.pop(0)

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        messages: list[dict[str, object]] = [
            {"type": "http.request", "body": header + b"\n" + good, "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[dict[str, object]] = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/score/csv",
            "query_string": b"",
            "headers": [(b"content-type", b"text/csv")],
            "root_path": "",
        }
        await app(scope, receive, send)  # type: ignore[arg-type]
        return any(message.get("more_body") is False for message in sent)

    assert not asyncio.run(cut_off())


def test_upload_limit(own_store: str, tiny_model: Path, tiny_scorer: Scorer, table: bytes) -> None:
    settings = Settings(artifacts=tiny_model.parent, database_url=own_store, max_csv_bytes=len(table) - 1)
    small = create_app(settings, tiny_scorer)
    refused = asyncio.run(exchange(small, "/v1/score/csv", [table[:2_000], table[2_000:]], CSV))
    assert refused.status == 413
    allowed = asyncio.run(exchange(small, "/v1/score/csv", [table[:-50]], CSV))
    assert allowed.status == 200
    assert allowed.complete
    small.state.serving.close()


def test_annotated_frame_is_written_as_json_would_say(tiny_scorer: Scorer, table: bytes) -> None:
    frame = pl.read_csv(table, infer_schema=False)
    scored = scored_frame(tiny_scorer, frame, parse_rows(tiny_scorer.schema, frame), 0)
    text = csv_bytes(scored, header=True).decode()
    assert {row["is_anomaly"] for row in rows_of(text)} <= {"true", "false"}
    with pytest.raises(InvalidInput, match="column score"):
        scored_frame(tiny_scorer, scored, parse_rows(tiny_scorer.schema, scored), 0)


def test_no_usable_row_for_a_model_with_behaviour(payments: Payments) -> None:
    header = ",".join(payments.schema.inputs) + "\r\n"
    for rows in ("", "x" + "," * (len(payments.schema.inputs) - 1) + "\r\n"):
        upload = CsvScoring(payments.scorer, 0, StateFork(Behaviour(payments.schema), lambda _: {}))
        lines = b"".join(chain(upload.feed((header + rows).encode()), upload.finish())).decode().splitlines()
        assert len(lines) == 1 + bool(rows)
        assert lines[-1].startswith(lines[0][:10] if not rows else "x,,")


def test_plain_lines_come_back_as_they_stand_whatever_is_beside_them(tiny_scorer: Scorer, table: bytes) -> None:
    bad = b"x," + table.splitlines(keepends=True)[-1].partition(b",")[2].replace(b"EUR", b"USD")
    plain, looked_at = (
        b"".join(
            chain((upload := CsvScoring(tiny_scorer, 0, pressed=repeat(pressed).__next__)).feed(body), upload.finish())
        )
        for body, pressed in ((table, True), (table + bad, False))
    )
    assert looked_at.startswith(plain) and b",currency: " not in plain
    lines = zip(plain.splitlines(), table.splitlines(), strict=True)
    assert all(scored.startswith(sent + b",") for scored, sent in lines)
