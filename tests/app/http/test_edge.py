"""Clients that are slow, silent or too many are let go; the others notice nothing."""

from __future__ import annotations

import gc
import logging
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from app.http.edge import Edge
from app.http.limits import Limits
from app.telemetry.metrics import Metrics
from tests.app.http.edge_server import Served, one, post, rest, serving

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
BRISK = Limits(head_seconds=0.4, rate=2_000, rate_seconds=0.4, linger_seconds=1.2, tick=0.02)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(BRISK) as served:
        yield served


def dripped(client: socket.socket, piece: Callable[[int], bytes], pause: float = 0.02) -> bytes:
    """Send piece after piece for as long as the server lets us; what it said."""
    client.settimeout(pause)
    said = b""
    for number in range(500):
        try:
            data = client.recv(1 << 16)
        except TimeoutError:
            try:
                client.sendall(piece(number))
            except (BrokenPipeError, ConnectionResetError):
                return said
        except ConnectionResetError:
            return said
        else:
            if not data:
                return said
            said += data
    raise AssertionError("the server listens for ever")


def test_who_says_nothing_is_let_go_in_silence(server: Served) -> None:
    with server.connect() as client:
        assert rest(client) == b""


def test_who_sends_a_head_too_slowly_is_told_and_let_go(server: Served) -> None:
    with server.connect() as client:
        said = dripped(client, lambda _: b"x" if _ else b"GET /a HTTP/1.1\r\nx: ")
    assert b"408" in said.split(b"\r\n")[0]
    assert b"urn:counterfoil:problem:request-timeout" in said


def test_empty_lines_are_no_request(server: Served) -> None:
    with server.connect() as client:
        assert dripped(client, lambda _: b"\r\n") == b""
    with server.connect() as client:
        client.sendall(GET)
        one(client)
        assert dripped(client, lambda _: b"\r\n") == b""


def test_the_head_of_a_later_request_has_its_time_too(server: Served) -> None:
    with server.connect() as client:
        client.sendall(GET)
        one(client)
        client.sendall(GET[:9])
        assert b"408" in rest(client).split(b"\r\n")[0]


def test_time_spent_on_an_answer_is_not_the_clients(server: Served) -> None:
    """A head that was begun while the request before it was answered for longer than a head may take."""
    server.app.go.clear()
    with server.connect() as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n" + GET[:9])
        wait_until_past(server, BRISK.head_seconds)
        server.app.go.set()
        assert one(client)[1] == b"held"
        client.sendall(GET[9:])
        assert one(client)[1] == b"GET /a "


def wait_until_past(server: Served, seconds: float) -> None:
    """Serve others until this much time is over."""
    end = time.monotonic() + seconds * 1.5
    with server.connect() as client:
        while time.monotonic() < end:
            client.sendall(GET)
            one(client)


@pytest.mark.parametrize("piece", [b"", b"x"], ids=["never", "too slowly"])
@pytest.mark.parametrize("size", [BRISK.whole_bytes, BRISK.whole_bytes + 1], ids=["short", "long"])
def test_who_sends_a_body_too_slowly_is_told_and_let_go(server: Served, piece: bytes, size: int) -> None:
    """Nothing is begun for a short body that is not whole; whoever has begun with a long one hears that it ends."""
    server.app.gone.clear()
    server.app.called.clear()
    with server.connect() as client:
        said = dripped(client, lambda number: piece if number else post("/echo", bytes(size))[: 1 - size])
    assert b"408" in said.split(b"\r\n")[0]
    assert (size <= BRISK.whole_bytes) or server.app.gone.wait(30)
    assert len(server.app.called) == (size > BRISK.whole_bytes)


def test_who_sends_a_body_slowly_but_fast_enough_is_served() -> None:
    """For three times what the rate is judged over, at fifty times the rate: a busy machine delays the client, too."""
    body = bytes(6_000)
    request = post("/echo", body, "Connection: close")
    pieces = [request[at : at + 100] for at in range(0, len(request), 100)]
    with serving(replace(BRISK, rate=100)) as server, server.connect() as client:
        said = dripped(client, lambda number: pieces[number] if number < len(pieces) else b"")
    assert said.endswith(body)


def test_who_reads_no_answer_is_let_go(server: Served) -> None:
    server.app.gone.clear()
    with server.connect(receive_buffer=4_096) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert server.app.gone.wait(30)
        with pytest.raises(ConnectionResetError):
            rest(client)


def test_who_reads_the_last_answer_never_is_let_go() -> None:
    """The answer fits between the machines or is complete; what is left of it waits for a client that reads nothing."""
    with serving(BRISK, keep_alive=0.3) as server, server.connect(receive_buffer=4_096) as client:
        client.sendall(post("/echo", bytes(6 << 20)))
        closed(server)


def closed(server: Served) -> None:
    """Wait until the server has answered somebody, and has no connection."""
    end = time.monotonic() + 30
    while server.edge.open or not server.app.called:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_is_answered_and_goes_on_sending_is_let_go(server: Served) -> None:
    with server.connect() as client:
        client.sendall(post("/refuse", b"", "Connection: close").replace(b"Length: 0", b"Length: 999999"))
        assert dripped(client, lambda _: bytes(1_000), pause=0.005).endswith(b"no")


@pytest.mark.parametrize("request_", [GET, post("/refuse", bytes(1 << 20))], ids=["read", "thrown away"])
def test_a_connection_rests_for_as_long_as_it_is_told(server: Served, request_: bytes) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.sendall(request_)
            one(client)
            wait_until_past(server, BRISK.head_seconds)
    with serving(BRISK, keep_alive=0.1) as hasty, hasty.connect() as client:
        client.sendall(request_)
        one(client)
        assert rest(client) == b""


TIGHT = Limits(connections=40, reserved=8, tick=0.02)


def test_where_there_is_no_room_who_waits_longest_makes_some(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    with serving(TIGHT) as server, ExitStack() as stack, caplog.at_level(logging.WARNING, "counterfoil.connections"):
        server.edge.told.metrics = metrics
        silent = [stack.enter_context(server.connect()) for _ in range(100)]
        for path in (b"/readyz", b"/a"):
            with server.connect() as client:
                client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
                assert one(client)[1] == b"GET %b " % path
        assert rest_or_reset(silent[0]) == b""
        assert len(server.edge.open) <= 32
    (line,) = [record.getMessage() for record in caplog.records]
    assert "no room" in line
    assert "COUNTERFOIL_MAX_CONNECTIONS, now 40" in line
    closings = metrics.registry.get_sample_value("counterfoil_connections_closed_total", {"reason": "room"})
    assert closings is not None
    assert closings >= 100 - 32


def rest_or_reset(client: socket.socket) -> bytes:
    try:
        return rest(client)
    except ConnectionResetError:
        return b""


def test_idle_connections_of_a_pool_make_room() -> None:
    with serving(TIGHT) as served, ExitStack() as stack:
        pool = [stack.enter_context(served.connect()) for _ in range(32)]
        for client in pool:
            client.sendall(GET)
            one(client)
        with served.connect() as client:
            client.sendall(GET)
            assert one(client)[1] == b"GET /a "
        assert rest_or_reset(pool[0]) == b""
        for client in pool[2:]:
            client.sendall(GET)
            assert one(client)[1] == b"GET /a "


def test_where_all_are_busy_probes_are_answered() -> None:
    with serving(TIGHT) as server, ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(32)]
        for client in busy:
            client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        while len(server.app.called) < 32:
            time.sleep(0.001)
        answers = {path: server.ask(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
                   for path in (b"/readyz", b"/healthz", b"/metrics", b"/v1/score")}  # fmt: skip
        refused = answers.pop(b"/v1/score")
        assert all(b" 200 " in answer.split(b"\r\n")[0] for answer in answers.values())
        assert b" 503 " in refused.split(b"\r\n")[0]
        assert b"urn:counterfoil:problem:no-room" in refused
        assert re.search(rb"retry-after: \d", refused)
        assert "/v1/score" not in server.app.called
        server.app.go.set()
        assert [one(client)[1] for client in busy] == [b"held"] * 32


def test_an_edge_travels_to_a_worker() -> None:
    import pickle

    edge = pickle.loads(pickle.dumps(Edge(BRISK)))
    assert edge.limits == BRISK


def test_a_line_now_and_then_says_how_many(caplog: pytest.LogCaptureFixture) -> None:
    told = Edge(BRISK).told
    with caplog.at_level(logging.WARNING, "counterfoil.connections"):
        for now in (0.0, 1.0, 59.0, 60.0, 61.0):
            told.closed("silent", now)
        told.closed("slow-reader", 62.0)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "so were 2 others" in lines[1]


def test_many_slow_clients_at_once_are_all_let_go(server: Served) -> None:
    kinds = (b"", GET[:9], post("/echo", b"12")[:-2], post("/echo", b"12")[:-1])
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(kinds[number % len(kinds)])
        fast = threading.Thread(target=wait_until_past, args=(server, 0.4))
        fast.start()
        for client in clients:
            rest_or_reset(client)
        fast.join()


def test_who_leaves_an_answer_to_the_system_is_let_go() -> None:
    """Small enough for this machine to hold it: the answer is over for the server, not for the client."""
    with serving(BRISK) as server, server.connect(receive_buffer=4_096) as client:
        client.sendall(post("/echo", bytes(300_000)))
        closed(server)
        with pytest.raises(ConnectionResetError):
            rest(client)


def test_what_a_clients_machine_takes_at_once_buys_no_second_delay() -> None:
    """The answer to one that reads nothing begins to arrive in its machine: faster than asked, and then never again."""
    limits = replace(BRISK, rate=100_000, rate_seconds=2.0, tick=0.05)
    with serving(limits) as server, server.connect(receive_buffer=260_000) as client:
        begun = time.monotonic()
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert server.app.gone.wait(30)
        assert time.monotonic() - begun < 1.8 * limits.rate_seconds


@pytest.mark.parametrize(
    "sent",
    [b"", GET[:9], GET, GET * 3, post("/echo", b"12")[:-1], post("/echo", bytes(9_000))[:-1]],
    ids=["nothing", "a head in part", "a request", "three", "a short body in part", "a long body in part"],
)
def test_a_connection_that_is_gone_is_freed_at_once(server: Served, sent: bytes) -> None:
    """Not by a collection of objects in circles: after thousands of connections that would take long."""
    gc.disable()
    try:
        with server.connect() as client:
            client.sendall(sent)
            if sent.startswith(GET):
                one(client)
            connection = next_of(server)
        wait_for(lambda: connection() is None)
    finally:
        gc.enable()


def next_of(server: Served) -> weakref.ref[object]:
    """The connection that was opened last."""
    wait_for(lambda: len(server.edge.open) == 1)
    (connection,) = server.edge.open
    return weakref.ref(connection)


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)
