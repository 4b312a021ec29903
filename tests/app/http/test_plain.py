"""Requests that are told from their bytes alone: never another framing than the parser's."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.plain import asks_for_scores
from tests.app.http.edge_server import post

BODY = b'{"amount": 1}'


@pytest.mark.parametrize(
    "request_",
    [
        post("/v1/score", BODY),
        post("/v1/score/batch?reasons=0", BODY),
        post("/v1/score", b""),
        post("/v1/score", BODY, "Connection: keep-alive", "Accept: */*", "authorization: Bearer x"),
    ],
)
def test_a_usual_request_is_told(request_: bytes) -> None:
    assert asks_for_scores(request_)
    assert not asks_for_scores(request_[:-1] or b"")
    assert not asks_for_scores(request_ + b"P")


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"POST /v1/score",
        post("/v1/score/csv", BODY),
        post("/v1/scores", BODY),
        post("/v1/decisions", BODY),
        post("/v1/score", BODY).replace(b"POST", b"PUT"),
        post("/v1/score", BODY).replace(b"1.1", b"1.0"),
        post("/v1/score", BODY, "Connection: close"),
        post("/v1/score", BODY, "Connection: Upgrade"),
        post("/v1/score", BODY, "Proxy-Connection: close"),
        post("/v1/score", BODY, "Expect: 100-continue"),
        post("/v1/score", BODY, "Transfer-Encoding: chunked"),
        post("/v1/score", BODY, "Content-Length: 13"),
        post("/v1/score", BODY, "Upgrade: h2c"),
        post("/v1/score", BODY, "folded: a\r\n b"),
        post("/v1/score", BODY, "space : a"),
        post("/v1/score", BODY, "bare: a\nTransfer-Encoding: chunked"),
        post("/v1/score", BODY, "no colon"),
        post("/v1/score", b"!" * (16 << 10)),
    ],
)
def test_what_is_unusual_is_left_to_the_parser(request_: bytes) -> None:
    assert not asks_for_scores(request_)


class _Seen:
    """What the parser tells."""

    def __init__(self) -> None:
        self.begun, self.whole, self.body = 0, 0, b""

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole += 1


_NAMES = st.sampled_from(
    ["Host", "content-length", "Connection", "Proxy-Connection", "Transfer-Encoding", "x", "Expect", "a b", ""]
)
_VALUES = st.sampled_from(
    ["", "2", " 2 ", "keep-alive", "close", "chunked", "0x2", "+2", "2,2", "\x00", "é", "a\tb", "02"]
)
_ENDS = st.sampled_from(["\r\n", "\n", "\r\n "])


@given(
    path=st.sampled_from(["/v1/score", "/v1/score/batch?a=b", "/v1/score?", "/v1/score/../x"]),
    lines=st.lists(st.tuples(_NAMES, st.sampled_from([": ", ":", " :"]), _VALUES, _ENDS), max_size=4),
    body=st.sampled_from([b"", b"{}", b"2\r\n{}\r\n0\r\n\r\n"]),
)
def test_the_parser_sees_the_same(path: str, lines: list[tuple[str, str, str, str]], body: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\n" + "".join("".join(line) for line in lines)
    data = head.encode("latin-1") + b"\r\n" + body
    if not asks_for_scores(data):
        return
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(data)
    assert (seen.begun, seen.whole, seen.body) == (1, 1, body)
    assert parser.should_keep_alive() and not parser.should_upgrade()
