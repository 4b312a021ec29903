"""Ten thousand card numbers, sent to a real service wherever something can be sent: none is in what it leaves behind.

Searched are the database with its write-ahead log, all output, every response with its headers, and every file that the
command line wrote.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import polars as pl
import pytest

from tests.app.pans import JSON_WRITINGS, WRITINGS, Search, card_numbers
from tests.app.test_server import connect, running
from tests.app.traffic import Payments, bodies
from tests.command_line import Cli
from tests.waiting import FAR

ALL = 10_000
JSON = {"Content-Type": "application/json"}
HEADERS = (
    "X-Request-ID", "User-Agent", "Referer", "Cookie", "Authorization", "Accept", "Accept-Language", "Idempotency-Key",
    "X-Forwarded-For", "Forwarded", "Host", "Origin", "Traceparent", "X-Api-Key", "If-None-Match", "X-Card",
)  # fmt: skip


class Sweep:
    """Sends requests and keeps what comes back; hands out card numbers, each once."""

    def __init__(self, payments: Payments, port: int, cards: Iterator[str]) -> None:
        self.cards = cards
        self.names = payments.schema.inputs
        self._rows = [json.loads(body) for body in bodies(payments.frame.head(500), payments.schema)]
        self._port, self._sent = port, 0
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=FAR)
        self.received = io.BytesIO()
        self.statuses: list[int] = []

    def row(self) -> dict[str, Any]:
        """A transaction that is accepted."""
        self._sent += 1
        return {**self._rows[self._sent % len(self._rows)], "transaction_id": f"sweep-{self._sent}"}

    def damaged(self, field: str, value: str) -> bytes:
        """A transaction with one field's JSON text replaced or added."""
        fields = {name: json.dumps(cell) for name, cell in self.row().items()} | {field: value}
        return ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in fields.items()) + "}").encode()

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, Any] | None = None) -> int:
        """Send a request; the status of the answer."""
        try:
            self._connection.request(method, path, body, headers or JSON)
            response = self._connection.getresponse()
            self.received.write(f"{response.status} {response.getheaders()}\n".encode() + response.read() + b"\n")
        except (http.client.HTTPException, ConnectionError):
            self._connection.close()
            return 0
        self.statuses.append(response.status)
        return response.status

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def raw(self, data: bytes) -> None:
        """Send bytes that are no HTTP."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=FAR) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while received := connection.recv(65_536):
                self.received.write(received)

    def bodies(self) -> None:
        """Every field in every writing, alone and in batches; names; labels; bodies that are no JSON."""
        for field in self.names:
            for write in JSON_WRITINGS:
                self.send("POST", "/v1/score", self.damaged(field, write(next(self.cards))))
        for write in JSON_WRITINGS:
            for field in ("transaction_id", "label", "known_at", "card_id"):
                label = {"transaction_id": '"sweep-1"', "label": '"fraud"', field: write(next(self.cards))}
                text = ",".join(f'"{name}":{value}' for name, value in label.items())
                self.send("POST", "/v1/feedback", f"{{{text}}}".encode())
            for field in ("card", "merchant", "before"):
                self.send("POST", "/v1/purge", f'{{"{field}":{write(next(self.cards))}}}'.encode())
        for write in WRITINGS:
            self.send("POST", "/v1/score", self.damaged(write(next(self.cards)), "1"))
            card = write(next(self.cards))
            for body in (
                card,
                f'{{"card_id": "{card}',
                f"[{card}]",
                f'{{"transactions": ["{card}"]}}',
                f"{{{card}:1}}",
            ):
                for path in ("/v1/score", "/v1/score/batch", "/v1/feedback", "/v1/score/csv"):
                    self.send("POST", path, body.encode())
        for start in range(20):
            rows = [
                self.damaged(self.names[i % len(self.names)], JSON_WRITINGS[(i + start) % len(JSON_WRITINGS)](card))
                for i, card in zip(range(150), self.cards, strict=False)
            ]
            self.send("POST", "/v1/score/batch", b'{"transactions":[%b]}' % b",".join(rows))
        self.send("POST", "/v1/score", next(self.cards).encode() * 80_000)

    def everywhere_else(self, paths: list[str]) -> None:
        """Headers, names of headers, queries, paths, methods, bytes that are no HTTP."""
        for name in HEADERS:
            for write in WRITINGS:
                value = write(next(self.cards)).encode()
                self.send("POST", "/v1/score?reasons=1", json.dumps(self.row()).encode(), {**JSON, name: value})
        for name in ("Content-Type", "Content-Encoding", "Expect", next(self.cards)):
            headers = {**JSON, name: next(self.cards)}
            self.send("POST", "/v1/score", json.dumps(self.row()).encode(), headers)
        for path in paths:
            for method in ("GET", "POST", "DELETE"):
                card = next(self.cards)
                at = path.replace("{", f"{card}{{").split("{")[0] if "{" in path else path
                for query in (f"?{card}={card}", f"?reasons={card}", f"?state={card}", f"?card={card}&cursor={card}"):
                    self.send(method, at + query, json.dumps(self.row()).encode())
                self.send(method, f"{path.split('{')[0]}/{card}")
        for text in ("{0} / HTTP/1.1\r\n\r\n", "GET /{0} HTTP/{0}\r\n\r\n", "GET / HTTP/1.1\r\n{0}\r\n\r\n", "{0}\n\n"):
            self.raw(text.format(next(self.cards)).encode())


def damaged_table(payments: Payments, cards: Iterator[str], rows: int) -> pl.DataFrame:
    """Payments as text, one in two with a card number in one of its cells; an extra column takes its share."""
    source = payments.frame.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")).cast(pl.String)
    table = pl.concat([source, source])[:rows].with_columns(pl.lit("x").alias("note"))
    columns: dict[str, list[str | None]] = table.to_dict(as_series=False)
    names = list(columns)
    written: list[Callable[[str], str]] = [*WRITINGS, lambda card: f"{card}.0", lambda card: repr(float(card))]
    for row in range(0, table.height, 2):
        columns[names[row // 2 % len(names)]][row] = written[row // 2 // len(names) % len(written)](next(cards))
    return pl.DataFrame(columns)


def swallow(stream: IO[str], into: list[str]) -> threading.Thread:
    """Read a process's output to its end, so that it never waits."""
    thread = threading.Thread(target=lambda: into.append(stream.read()))
    thread.start()
    return thread


def test_no_card_number_gets_through_the_service(payments: Payments, tmp_path: Path) -> None:
    numbers = card_numbers(ALL // 2, seed=1)
    search, cards = Search(numbers), iter(numbers)
    (tmp_path / "db").mkdir()
    settings = {"COUNTERFOIL_DATABASE_URL": f"sqlite:///{tmp_path}/db/counterfoil.db", "COUNTERFOIL_LOG_LEVEL": "debug"}
    output: list[str] = []
    with running(payments.artifacts, **settings) as (process, port, printed):
        assert process.stdout is not None and process.stderr is not None
        readers = [swallow(process.stdout, output), swallow(process.stderr, output)]
        with connect(port) as connection:
            connection.request("GET", "/openapi.json")
            document = json.loads(connection.getresponse().read())
        sweep = Sweep(payments, port, cards)
        sweep.bodies()
        sweep.everywhere_else([*document["paths"], "/docs", "/static", "/v2"])
        csv = {"Content-Type": "text/csv"}
        table = damaged_table(payments, cards, 2_000)
        sweep.send("POST", "/v1/score/csv?reasons=2", table.write_csv().encode(), csv)
        sweep.send("POST", "/v1/score/csv?state=empty", table.write_csv(separator=";").encode(), csv)
        sweep.send("POST", "/v1/score/csv", table.rename({"note": next(cards)}).write_csv().encode(), csv)
        sweep.send("POST", "/v1/score/csv", table.write_csv(include_header=False).encode(), csv)
        broken = [f"{','.join(table.row(1))},{next(cards)}", next(cards), f'"{next(cards)}']
        sweep.send("POST", "/v1/score/csv", "\n".join([",".join(table.columns), *broken]).encode(), csv)
        left = [sweep.damaged("card_id", json.dumps(card)) for card in cards]
        for start in range(0, len(left), 500):
            sweep.send("POST", "/v1/score/batch", b'{"transactions":[%b]}' % b",".join(left[start : start + 500]))
        for path in document["paths"]:
            sweep.send("GET", path)  # what it tells by now
        assert sweep.send("GET", "/v1/decisions?limit=1000") == sweep.send("GET", "/v1/decisions/export") == 200
        sweep.close()
        kept = b"".join(file.read_bytes() for file in (tmp_path / "db").iterdir())  # the write-ahead log among them
        process.terminate()
        for reader in readers:
            reader.join()
        assert process.wait(timeout=FAR) == 0
    assert next(cards, None) is None
    assert sweep.statuses.count(200) > len(HEADERS) * len(WRITINGS) / 2  # transactions were recorded
    assert 500 not in sweep.statuses
    kept += b"".join(file.read_bytes() for file in (tmp_path / "db").iterdir())
    assert search.text(kept) | search.binary(kept) == set()
    assert search.text((printed + "".join(output)).encode()) == set()
    assert search.text(sweep.received.getvalue()) == set()


@pytest.mark.early
@pytest.mark.usefixtures("few_steps")
def test_no_card_number_gets_through_the_command_line(payments: Payments, tmp_path: Path, cli: Cli) -> None:
    numbers = card_numbers(ALL, seed=1)[ALL // 2 :]
    search, cards = Search(numbers), iter(numbers)
    work = tmp_path / "in"
    work.mkdir()
    table = damaged_table(payments, cards, 3_000)
    table.write_csv(work / "table.csv")
    unnamed = payments.frame.head(1_000).with_columns(
        pl.Series("number", [int(next(cards)) for _ in range(1_000)]),
        pl.Series("text", [next(cards) for _ in range(1_000)]),
    )
    unnamed.write_parquet(work / "unnamed.parquet")
    table.rename({"note": next(cards)}).write_csv(work / "name.csv")
    table.write_csv(work / "headless.csv", include_header=False)
    scenario = payments.frame.head(300).with_columns(pl.Series("fraud_scenario", [next(cards) for _ in range(300)]))
    scenario.write_parquet(work / "scenario.parquet")
    where = ("--artifacts", str(payments.artifacts))
    database = ("--database", f"sqlite:///{tmp_path}/counterfoil.db")
    live = (*where, *database, "--state", "live", "--record")
    files = [work / name for name in ("table.csv", "unnamed.parquet", "name.csv", "headless.csv", "scenario.parquet")]
    tiny = ("--profile", "payments", "--members", "1", "--hidden", "4", "--code-size", "4", "--label-delay", "0d")
    told, codes = "", []
    for file in files:
        for arguments in (
            ("score", file, "--out", f"{file.stem}.csv", "--on-error", "reject", *where),
            ("score", file, "--out", f"{file.stem}.recorded.parquet", "--on-error", "reject", *live),
            ("score", file, "--out", "stopped.csv", *where),
            ("embed", file, "--out", f"{file.stem}.codes.csv", "--on-error", "reject", *where),
            ("warm", file, *where, "--database", f"sqlite:///{tmp_path}/{file.stem}.db"),
            ("evaluate", file, *where),
            ("train", file, *tiny, "--out", tmp_path / "trained"),
            ("profile", file, "--force"),
        ):
            done = cli(*arguments)
            codes.append(done.code)
            told += done.out + done.err
    for _ in range(4):
        for done in (cli("replay", next(cards), *where, *database), cli("keys", "create", next(cards))):
            told += done.out + done.err
        for option in ("--card", "--since", "--caller", "--entity", "--min-score"):
            done = cli("export", "export.csv", option, next(cards), *where, *database)
            told += done.out + done.err
    for export in ("all.csv", "all.parquet"):
        codes.append(cli("export", export, *where, *database).code)
    left = pl.DataFrame({name: [""] * 10 for name in table.columns})
    rest = list(cards)
    pl.concat([left, pl.DataFrame(dict.fromkeys(table.columns, rest))]).write_csv(work / "rest.csv")
    codes.append(cli("score", work / "rest.csv", "--out", "rest.csv", "--on-error", "reject", *where).code)
    assert {0, 1, 2} == set(codes)
    written = [file for file in tmp_path.rglob("*") if file.is_file() and work not in file.parents]
    assert len(written) > 12
    kept = b""
    for file in written:
        kept += pl.read_parquet(file).write_csv().encode() if file.suffix == ".parquet" else file.read_bytes()
    assert search.text(kept) | search.binary(kept) == set()
    assert search.text(told.encode()) == set()


@pytest.mark.parametrize("write", [*WRITINGS, *JSON_WRITINGS])
def test_the_search_finds_what_it_is_meant_to_find(write: Any) -> None:
    for card in card_numbers(60, seed=1):
        assert Search([card]).text(b"\x00\xff" + write(card).encode() + b"\x02approve") == {card}


def test_the_search_finds_numbers_in_binary() -> None:
    (card,) = card_numbers(1, seed=2)
    search = Search([card])
    for order in ("little", "big"):
        assert search.binary(b"abc" + int(card).to_bytes(8, order) + b"de") == {card}
