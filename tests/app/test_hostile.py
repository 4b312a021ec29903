"""No body, header or path gives a 5xx, and no problem repeats what the caller sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.problems import KINDS
from tests.app.calls import CARDS, Client
from tests.examples import examples

CARD = CARDS[0]
PLANTED = "s3cr3t-v4lue"

#: name of the case -> (field, value as JSON text, or None to leave the field out)
FIELD_CASES: dict[str, tuple[str, str | None]] = {
    "number nan": ("amount", "NaN"),
    "number infinity": ("amount", "Infinity"),
    "number minus infinity": ("latitude", "-Infinity"),
    "number 1e400": ("amount", "1e400"),
    "number -1e400": ("longitude", "-1e400"),
    "number beyond float32": ("account_age_days", "3.5e38"),
    "number of 400 digits": ("account_age_days", "1" * 400),
    "number of 5000 digits": ("account_age_days", "9" * 5_000),
    "number of 60000 digits": ("account_age_days", "9" * 60_000),
    "number leading zero": ("amount", "012"),
    "number plus sign": ("amount", "+1"),
    "number bare point": ("amount", ".5"),
    "number trailing point": ("amount", "5."),
    "number hexadecimal": ("amount", "0x10"),
    "number with underscore": ("amount", "1_000"),
    "number with comma": ("amount", "1,5"),
    "number as text": ("latitude", '"48.8"'),
    "number true": ("amount", "true"),
    "number false": ("latitude", "false"),
    "number null": ("amount", "null"),
    "number list": ("amount", "[1]"),
    "number object": ("amount", '{"value": 1}'),
    "number empty text": ("amount", '""'),
    "number words": ("amount", f'"{PLANTED}"'),
    "number card": ("account_age_days", CARD),
    "number long card": ("account_age_days", "6304000000000000000"),
    "number card with fraction": ("account_age_days", CARD + ".0"),
    "number card below zero": ("account_age_days", "-" + CARD),
    "number card and a half": ("account_age_days", CARD + ".5"),
    "number card as float": ("account_age_days", "4.111111111111111e15"),
    "number below minimum": ("amount", "-0.01"),
    "number above maximum": ("amount", "1000000000.01"),
    "number latitude": ("latitude", "90.0001"),
    "number longitude": ("longitude", "-180.0001"),
    "number negative age": ("account_age_days", "-1"),
    "amount text nan": ("amount", '"NaN"'),
    "amount text inf": ("amount", '"inf"'),
    "amount text exponent": ("amount", '"1e3"'),
    "amount text spaces": ("amount", '" 12.34 "'),
    "amount text plus": ("amount", '"+12.34"'),
    "amount text comma": ("amount", '"12,34"'),
    "amount text thousands": ("amount", '"1,234.00"'),
    "amount text currency": ("amount", '"12.34 EUR"'),
    "amount text nine decimals": ("amount", '"1.123456789"'),
    "amount text sixteen digits": ("amount", '"1234567890123456"'),
    "amount text bare point": ("amount", '".5"'),
    "amount text trailing point": ("amount", '"5."'),
    "amount text arabic digits": ("amount", '"\u0661\u0662"'),
    "amount text newline": ("amount", '"12.34\\n"'),
    "amount text below minimum": ("amount", '"-1"'),
    "amount text above maximum": ("amount", '"999999999999999"'),
    "amount text card": ("amount", '"378282246310005"'),
    "text number": ("card_id", "17"),
    "text null": ("card_id", "null"),
    "text true": ("merchant_id", "true"),
    "text list": ("merchant_id", f'["{PLANTED}"]'),
    "text object": ("country", f'{{"{PLANTED}": 1}}'),
    "text empty": ("category", '""'),
    "text too long": ("country", f'"{PLANTED}"'),
    "text of a million": ("card_id", '"' + "x" * 60_000 + '"'),
    "text too long in emoji": ("card_id", '"' + "\U0001f4b3" * 65 + '"'),
    "text nul": ("card_id", f'"{PLANTED}\\u0000"'),
    "text lone high surrogate": ("card_id", '"\\ud800"'),
    "text lone low surrogate": ("card_id", '"\\udc00"'),
    "text reversed surrogates": ("card_id", '"\\udc00\\ud800"'),
    "text broken escape": ("card_id", '"\\u12"'),
    "text unknown escape": ("card_id", '"\\x41"'),
    "text raw newline": ("card_id", '"a\nb"'),
    "text raw tab": ("card_id", '"a\tb"'),
    "text unterminated": ("card_id", '"abc'),
    "text single quotes": ("card_id", "'abc'"),
    "text card": ("card_id", f'"{CARD}"'),
    "text card spaced": ("card_id", '"4111 1111 1111 1111"'),
    "text card hyphens": ("merchant_id", '"4111-1111-1111-1111"'),
    "text card amex": ("transaction_id", '"3782 822463 10005"'),
    "text card in words": ("category", f'"card {CARD} ok"'),
    "text card escaped": ("card_id", '"\\u0034111111111111111"'),
    "text card full-width": ("card_id", '"\uff14\uff11\uff11\uff11111111111111"'),
    "text card digit by digit": ("card_id", '"4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"'),
    "text card and invisible": ("card_id", '"4111\u200b1111\u200b11111111"'),
    "text card in id": ("transaction_id", f'"{CARD}"'),
    "text card in country": ("country", f'"{CARD}"'),
    "currency other": ("currency", '"USD"'),
    "currency lower": ("currency", '"eur"'),
    "currency null": ("currency", "null"),
    "currency number": ("currency", "978"),
    "currency list": ("currency", '["EUR"]'),
    "currency words": ("currency", f'"{PLANTED}"'),
    "time without zone": ("timestamp", '"2026-01-31T08:15:00"'),
    "time without seconds": ("timestamp", '"2026-01-31T08:15Z"'),
    "time date only": ("timestamp", '"2026-01-31"'),
    "time no such day": ("timestamp", '"2026-02-30T08:15:00Z"'),
    "time no such hour": ("timestamp", '"2026-01-31T24:00:00Z"'),
    "time leap second": ("timestamp", '"2026-06-30T23:59:60Z"'),
    "time year zero": ("timestamp", '"0000-01-01T00:00:00Z"'),
    "time before 1970": ("timestamp", '"1969-12-31T23:59:59Z"'),
    "time epoch number": ("timestamp", "1769847300"),
    "time epoch text": ("timestamp", '"1769847300"'),
    "time huge number": ("timestamp", "1" * 400),
    "time null": ("timestamp", "null"),
    "time true": ("timestamp", "true"),
    "time list": ("timestamp", "[2026, 1, 31]"),
    "time newline": ("timestamp", '"2026-01-31T08:15:00Z\\n"'),
    "time arabic digits": ("timestamp", '"\u0662\u0660\u0662\u0666-01-31T08:15:00Z"'),
    "time words": ("timestamp", f'"{PLANTED}"'),
    "time zone name": ("timestamp", '"2026-01-31T08:15:00 Europe/Paris"'),
    "missing amount": ("amount", None),
    "missing timestamp": ("timestamp", None),
    "missing nullable": ("account_age_days", None),
    "unknown field": ("unknown_field", "1"),
    "unknown field words": (f"not a name {PLANTED}", "1"),
    "unknown field card": (CARD, "1"),
    "unknown field card in name": (f"card{CARD}", "1"),
    "unknown field empty": ("", "1"),
    "unknown field long": (PLANTED * 20, "1"),
    "unknown field markup": (f"<script>{PLANTED}</script>", "1"),
    "unknown field label": ("is_fraud", "0"),
    "unknown field proto": ("__proto__", "{}"),
    "nested deep": ("card_id", "[" * 5_000 + "]" * 5_000),
    "nested deep objects": ("card_id", '{"a":' * 500 + "1" + "}" * 500),
}
#: name of the case -> the body as a whole
BODY_CASES: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"   ",
    "null": b"null",
    "true": b"true",
    "number": CARD.encode(),
    "text": f'"{PLANTED}"'.encode(),
    "list": f'["{PLANTED}"]'.encode(),
    "empty list": b"[]",
    "empty object": b"{}",
    "words": PLANTED.encode(),
    "cut off": b'{"amount": 1',
    "cut off key": b'{"amount',
    "trailing comma": b'{"amount": 1,}',
    "single quotes": b"{'amount': 1}",
    "comment": b'{"amount": 1} // x',
    "two objects": b"{}{}",
    "bom": b"\xef\xbb\xbf{}",
    "utf-16": '{"amount": 1}'.encode("utf-16"),
    "utf-32": '{"amount": 1}'.encode("utf-32"),
    "invalid utf-8": b'{"card_id": "\xff\xfe"}',
    "invalid utf-8 key": b'{"\xc3\x28": 1}',
    "overlong utf-8": b'{"card_id": "\xc0\xaf"}',
    "utf-8 surrogate": b'{"card_id": "\xed\xa0\x80"}',
    "nul bytes": b"\x00" * 100,
    "all bytes": bytes(range(256)),
    "deep list": b"[" * 60_000,
    "deep object": b'{"a":' * 10_000,
    "many keys": json.dumps({f"k{number}": 0 for number in range(5_001)}).encode(),
    "many brackets": b"[]," * 20_000,
    "form": b"amount=1&card_id=" + CARD.encode(),
    "xml": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "too large": b" " * 70_000,
    "number key": b"{1: 2}",
    "infinity": b"Infinity",
    "many known keys": b"{" + b'"amount": 1, ' * 4_000 + b'"amount": 1}',
    "pickle": b"\x80\x04\x95\x00.",
}


def body_with(transaction: dict[str, Any], field: str, value: str | None) -> bytes:
    """The transaction with one field's JSON text replaced, added or left out."""
    fields = {name: json.dumps(cell) for name, cell in transaction.items() if name != field}
    if value is not None:
        fields[field] = value
    return ("{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in fields.items()) + "}").encode()


def assert_problem(response: Any, *planted: str) -> dict[str, Any]:
    """The one shape of every error, with nothing of the caller's in it."""
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert list(body) == ["type", "title", "status", "detail", "errors", "request_id"]
    assert body["status"] == response.status_code
    assert body["type"].startswith("urn:counterfoil:problem:")
    assert body["request_id"] == response.headers["x-request-id"]
    assert all(set(error) == {"field", "message"} for error in body["errors"])
    everything = response.text + str(response.headers)
    for secret in (CARD, PLANTED, "Traceback", "site-packages", *planted):
        assert secret not in everything
    assert not re.search(r"[2-6]\d{12}", re.sub(r'"request_id":"[0-9a-f]{24}"', "", response.text))
    return body


def test_there_are_enough_cases() -> None:
    assert len(FIELD_CASES) + len(BODY_CASES) >= 100


@pytest.mark.parametrize("case", FIELD_CASES)
def test_hostile_fields(client: Client, transaction: dict[str, Any], case: str) -> None:
    field, value = FIELD_CASES[case]
    body = body_with(transaction, field, value)
    response = client.post("/v1/score", content=body, headers={"Content-Type": "application/json"})
    problem = assert_problem(response)
    if problem["type"].endswith("invalid-transaction"):
        harmless = field in transaction or field in ("unknown_field", "is_fraud", "__proto__")
        expected = [] if case.startswith("nested") else [field if harmless else "(withheld)"]
        assert [error["field"] for error in problem["errors"]] == expected
    batch = b'{"transactions": [' + body + b"]}"
    response = client.post("/v1/score/batch", content=batch, headers={"Content-Type": "application/json"})
    if response.status_code == 200:
        assert set(response.json()["results"][0]) == {"error"}
        assert PLANTED not in response.text
        assert CARD not in response.text
    else:
        assert_problem(response)


@pytest.mark.parametrize("case", BODY_CASES)
@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
def test_hostile_bodies(client: Client, path: str, case: str) -> None:
    response = client.post(path, content=BODY_CASES[case], headers={"Content-Type": "application/json"})
    assert_problem(response)


@pytest.mark.parametrize(
    "body",
    [
        {"transactions": None},
        {"transactions": {}},
        {"transactions": PLANTED},
        {"transactions": [], f"not a {PLANTED}": 1},
        {"transaction": []},
        {"transactions": [1] * 51},
        {"transactions": [[]] * 9_000},
        {"transactions": [], **{f"k{number}": 0 for number in range(3_000)}},
    ],
)
def test_hostile_batches(client: Client, body: Any) -> None:
    assert_problem(client.post("/v1/score/batch", json=body))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/xml"},
        {"Content-Type": f"multipart/form-data; boundary={PLANTED}"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": PLANTED},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": PLANTED},
    ],
)
def test_hostile_media_types(client: Client, transaction: dict[str, Any], headers: dict[str, str]) -> None:
    for path in ("/v1/score", "/v1/score/batch", "/v1/score/csv"):
        response = client.post(path, content=json.dumps(transaction), headers=headers)
        assert response.status_code == 415
        assert_problem(response)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_number_is_no_json(client: Client, transaction: dict[str, Any], number: str) -> None:
    bodies = [("/v1/score", body_with(transaction, field, number)) for field in ("amount", "card_id", "unknown")]
    bodies += [("/v1/score/batch", b'{"transactions": [%b]}' % body) for _, body in bodies]
    bodies += [("/v1/score/batch", b'{"transactions": %b}' % number.encode())]
    bodies += [(path, b'{"before": %b}' % number.encode()) for path in ("/v1/purge", "/v1/feedback")]
    for path, body in bodies:
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 400, body
        assert assert_problem(response)["type"] == "urn:counterfoil:problem:invalid-json"


def test_a_charset_of_utf_8_is_welcome(client: Client, transaction: dict[str, Any]) -> None:
    for kind in ("application/json; charset=utf-8", 'Application/JSON;Charset="UTF-8"'):
        response = client.post("/v1/score", content=json.dumps(transaction), headers={"Content-Type": kind})
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/{PLANTED}", 404),
        ("GET", f"/v1/score/{CARD}", 404),
        ("POST", "/v1/score/", 404),
        ("GET", "/v1/../../etc/passwd", 404),
        ("GET", "/v1/score", 405),
        ("DELETE", "/v1/model", 405),
        ("PUT", "/v1/score/batch", 405),
        ("POST", "/healthz", 405),
        ("BREW", "/v1/score", 405),
        ("GET", "/%00%ff", 404),
    ],
)
def test_hostile_paths_and_methods(client: Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert_problem(response)
    assert ("allow" in response.headers) is (status == 405)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=80)
    | st.sampled_from([*CARDS, "2026-01-31T08:15:00Z", "EUR"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(50))


@relaxed
@given(body=st.binary(max_size=300))
def test_any_bytes_are_answered(client: Client, body: bytes) -> None:
    response = client.post("/v1/score", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response)


@relaxed
@given(changes=st.dictionaries(st.integers(0, 14), json_values, min_size=1, max_size=4))
def test_any_mutation_is_scored_or_refused(
    client: Client, transaction: dict[str, Any], changes: dict[int, Any]
) -> None:
    names = [*transaction, "extra", "is_fraud", "other"]
    body = json.dumps({**transaction, **{names[at]: value for at, value in changes.items()}})
    response = client.post("/v1/score", content=body.encode(), headers={"Content-Type": "application/json"})
    if response.status_code != 200:
        assert_problem(response)
    else:
        assert 0 <= response.json()["score"] < 1
    assert not any(card in response.text for card in CARDS)


@relaxed
@given(body=st.lists(json_values, max_size=4))
def test_any_batch_is_answered_row_by_row(client: Client, body: list[Any]) -> None:
    content = json.dumps({"transactions": body}).encode()
    response = client.post("/v1/score/batch", content=content, headers={"Content-Type": "application/json"})
    if response.status_code == 200:
        assert all(set(result) == {"error"} for result in response.json()["results"])
        assert len(response.json()["results"]) == len(body)
    else:
        assert_problem(response)


def test_every_kind_of_problem_has_a_status_of_its_own_class() -> None:
    assert {status for status, _ in KINDS.values()} <= {400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503}
