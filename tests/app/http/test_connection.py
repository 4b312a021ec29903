"""Every client that keeps to HTTP is served, and what is no HTTP starts nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from app.http.limits import Limits
from tests.app.http.edge_server import H2C, Served, one, post, rest, serving

END = "Connection: close"


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(Limits(pipelined=4)) as served:
        yield served


def whole(received: bytes) -> tuple[int, bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def problem(received: bytes) -> str:
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    told = json.loads(body)
    assert list(told) == ["type", "title", "status", "detail", "errors", "request_id"]
    assert f"x-request-id: {told['request_id']}".encode() in head
    assert b"connection: close" in head
    assert told["status"] == int(head.split()[1])
    return str(told["type"]).rpartition(":")[2]


@pytest.mark.parametrize(
    "headers",
    [
        H2C,
        ("Connection: upgrade", "Upgrade: h2c"),
        ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        ("Connection: keep-alive, Upgrade", "Upgrade: TLS/1.0, HTTP/2.0"),
        ("Upgrade: h2c",),
        ("Connection: Upgrade",),
        ("HTTP2-Settings: AAEA",),
        ("Connection: x-unknown",),
        ("Expect: something-else",),
    ],
)
def test_an_offer_is_ignored_and_the_body_read(server: Served, headers: tuple[str, ...]) -> None:
    request = post("/echo", b"body", *headers)
    head, _, body = request.partition(b"\r\n\r\n")
    with server.connect() as client:
        for parts in ((request,), (head + b"\r\n\r\n", body), (request[:9], request[9:-2], request[-2:])):
            for part in parts:
                client.sendall(part)
            assert one(client)[1] == b"POST /echo body"  # and the connection serves on
        client.sendall(request * 3)
        assert [one(client)[1] for _ in range(3)] == [b"POST /echo body"] * 3


def test_an_offer_with_a_body_in_chunks(server: Served) -> None:
    head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + "\r\n".join((*H2C, END)) + "\r\n\r\n"
    assert whole(server.ask(head.encode(), b"2\r\nbo\r\n", b"2\r\ndy\r\n0\r\n\r\n")) == (200, b"POST /echo body")


def test_a_client_that_waits_to_be_told_to_go_on_is_told(server: Served) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n"
    with server.connect() as client:
        client.sendall(head)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert one(client)[1] == b"POST /echo body"
        # Refused before that, it may send the body or not: only a new connection is sure.
        client.sendall(head.replace(b"/echo", b"/refuse"))
        head, body = one(client)
        assert (head.split()[1], body) == (b"413", b"no")
        assert b"connection: close" in head
        assert rest(client) == b""


def test_http_1_0_is_not_told_to_go_on(server: Served) -> None:
    answer = server.ask(b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", b"body")
    assert whole(answer) == (200, b"POST /echo body")


def test_http_1_0_gets_a_stream_that_ends_with_the_connection(server: Served) -> None:
    head, _, body = server.ask(b"GET /stream HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b"one,two,three"
    assert b"chunked" not in head
    assert b"content-length" not in head
    assert b"connection: close" in head
    modern = server.ask(f"GET /stream HTTP/1.1\r\nHost: x\r\n{END}\r\n\r\n".encode())
    assert modern.endswith(b"4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n0\r\n\r\n")


def test_http_1_0_sees_that_a_stream_was_broken_off(server: Served) -> None:
    with server.connect() as client, pytest.raises(ConnectionResetError):
        client.sendall(b"GET /break HTTP/1.0\r\n\r\n")
        rest(client)


def test_head_has_no_body(server: Served) -> None:
    for version in ("1.0", "1.1"):
        for path in ("/stream", "/headers"):
            answer = server.ask(f"HEAD {path} HTTP/{version}\r\nHost: x\r\n{END}\r\n\r\n".encode())
            assert whole(answer) == (200, b"")


@pytest.mark.parametrize("size", [3 << 20, 20 << 20])
@pytest.mark.parametrize("headers", [(), (END,)])
def test_a_refusal_arrives_though_the_body_is_still_being_sent(
    server: Served, size: int, headers: tuple[str, ...]
) -> None:
    with server.connect() as client:
        client.sendall(post("/refuse", bytes(size), *headers))  # all of it, before anything is read
        assert one(client)[1] == b"no"
        if headers:
            assert rest(client) == b""
        else:
            client.sendall(post("/echo", b"again"))
            assert one(client)[1] == b"POST /echo again"


def test_a_body_of_unknown_length_that_nobody_reads_ends_the_connection(server: Served) -> None:
    with server.connect() as client:
        client.sendall(b"POST /refuse HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(50):
            client.sendall(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        head, body = one(client)
        assert b"connection: close" in head
        assert body == b"no"


def test_what_is_thrown_away_has_a_bound() -> None:
    with serving(Limits(linger_bytes=1 << 20)) as server, server.connect() as client:
        client.sendall(post("/refuse", b"", END).replace(b"Length: 0", b"Length: 9999999999"))
        assert one(client)[1] == b"no"
        with pytest.raises(ConnectionError):
            for _ in range(1_000):
                client.sendall(bytes(1 << 20))


MALFORMED = {
    "two lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na",
    "the same length twice": b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": b"Content-Length: 1, 1\r\n\r\na",
    "a signed length": b"Content-Length: +1\r\n\r\na",
    "a length beyond 64 bits": b"Content-Length: 99999999999999999999\r\n\r\na",
    "an empty length": b"Content-Length:\r\n\r\na",
    "length and chunks": b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "compressed chunks": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks first": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "nearly chunks": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X-A: a\r\n b\r\n\r\n",
    "a header of no name": b": a\r\n\r\n",
    "a zero byte": b"X-A: a\0b\r\n\r\n",
    "no chunk size": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a hexadecimal chunk size": b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "a negative chunk size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a chunk size beyond 64 bits": b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n",
    "a chunk of another length": b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a bare line feed in chunks": b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_nothing_ambiguous_is_answered_but_with_400(server: Served, name: str) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = server.ask(b"POST /echo HTTP/1.1\r\nHost: x\r\n" + MALFORMED[name] + smuggled)
    assert problem(answer) == "bad-request"
    assert answer.count(b"\r\n\r\n") == 1
    assert "/smuggled" not in server.app.called


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /a HTTP/2.0\r\n\r\n",
        b"GET /a HTTP/1.2\r\n\r\n",
        b"GET /a\r\n\r\n",
        b"GET /a HTTP/1.1\nHost: x\n\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"A" * 100 + b" / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_1_is_told_so(server: Served, request_: bytes) -> None:
    assert problem(server.ask(request_)) == "bad-request"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 6_000 + b"\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 4_000_000,
        b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 500_000,
        b"\r\n" * 2_000_000,
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: " + b"a" * 4_000_000,
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 4_000_000,
    ],
    ids=["url", "one header", "many headers", "no end", "no last", "no request", "trailer", "chunk extension"],
)
def test_a_head_has_a_bound(server: Served, request_: bytes) -> None:
    assert problem(server.ask(request_)) == "head-too-large"


def test_a_head_just_below_the_bound_is_served(server: Served) -> None:
    for part in (1, 7_000, 1 << 20):
        request = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: " + b"a" * 32_000 + b"\r\n\r\n"
        assert whole(server.ask(request[:part], request[part:])) == (200, b"GET /a ")


def test_trailers_are_no_headers(server: Served) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST /headers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\na\r\n0\r\nAuthorization: Bearer stolen\r\n\r\n"
        )
        assert json.loads(one(client)[1]) == [["host", "x"], ["transfer-encoding", "chunked"]]
        client.sendall(b"GET /headers HTTP/1.1\r\nHost: y\r\n\r\n")
        assert json.loads(one(client)[1]) == [["host", "y"]]


def test_requests_sent_ahead_are_answered_in_order(server: Served) -> None:
    with server.connect() as client:
        client.sendall(b"".join(post(f"/{n}", b"x" * n) for n in range(4)))
        assert [one(client)[1] for n in range(4)] == [f"POST /{n} {'x' * n}".encode() for n in range(4)]


def test_too_many_requests_sent_ahead_are_answered_in_part(server: Served) -> None:
    """Never more than a few wait in memory; the client sees that the connection closed after the last answer."""
    with server.connect() as client:
        client.sendall(b"".join(post(f"/{n}", b"") for n in range(1_000)))
        answers = rest(client)
    assert answers.count(b"HTTP/1.1 200") == 5
    assert answers.count(b"connection: close") == 1
    assert answers.endswith(b"POST /4 ")


def test_what_is_no_http_after_requests_leaves_their_answers_alone(server: Served) -> None:
    server.app.go.clear()
    with server.connect() as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n" + post("/echo", b"1") + b"nonsense\r\n\r\n")
        server.app.go.set()
        assert one(client)[1] == b"held"
        head, body = one(client)
        assert body == b"POST /echo 1"
        assert b"connection: close" in head
        assert rest(client) == b""


def test_a_client_that_sends_no_more_gets_its_answers(server: Served) -> None:
    server.app.go.clear()
    with server.connect() as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n" + post("/echo", b"1"))
        client.shutdown(socket.SHUT_WR)
        server.app.go.set()
        answers = rest(client)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.endswith(b"POST /echo 1")


def test_a_client_that_leaves_within_its_body_is_gone(server: Served) -> None:
    server.app.gone.clear()
    with server.connect() as client:
        client.sendall(post("/echo", bytes(10_000))[:-2])
        client.shutdown(socket.SHUT_WR)
        assert rest(client) == b""
    assert server.app.gone.wait(30)


def test_a_client_that_leaves_within_its_answer_is_gone(server: Served) -> None:
    server.app.gone.clear()
    with server.connect() as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1)
    assert server.app.gone.wait(30)


def test_a_client_with_requests_ahead_that_leaves_is_gone(server: Served) -> None:
    """The one that is being answered, not only the last one read."""
    server.app.gone.clear()
    with server.connect() as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n" + post("/echo", b"1"))
        assert client.recv(1)
    assert server.app.gone.wait(30)
