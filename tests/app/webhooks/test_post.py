"""One attempt: to the address that was looked at, over TLS that is verified, within a time, and to nobody else."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from app.webhooks import post as module
from app.webhooks.addresses import NotAllowed, allowed_addresses
from app.webhooks.event import trial_event
from app.webhooks.post import post
from tests.app.webhooks.conftest import endpoint
from tests.app.webhooks.receiver import Receiver

NEVER = ("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "240.0.0.1", "fd00:ec2::254", "100.100.100.200")
PRIVATE = ("127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "fd12::1", "::ffff:127.0.0.1", "100.64.0.1")
DISGUISED = ("64:ff9b::a01:203", "2002:7f00:1::", "2130706433", "0x7f.1")


@pytest.fixture(autouse=True)
def own_context() -> Iterator[None]:
    """The trusted authorities are read anew."""
    module._context.cache_clear()
    yield
    module._context.cache_clear()


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_connected_to(address: str) -> None:
    for allowed in (False, True):
        with pytest.raises(NotAllowed, match="never connected to"):
            allowed_addresses(address, 443, allowed)


@pytest.mark.parametrize("address", PRIVATE + DISGUISED)
def test_private_ones_are_when_it_is_allowed(address: str) -> None:
    with pytest.raises(NotAllowed, match="has to be allowed for the endpoint"):
        allowed_addresses(address, 443, False)
    assert len(allowed_addresses(address, 443, True)) == 1


def test_public_ones_are() -> None:
    assert allowed_addresses("93.184.215.14", 443, False) == ["93.184.215.14"]
    assert allowed_addresses("2606:4700::1111", 443, False) == ["2606:4700::1111"]


def test_one_bad_address_of_a_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, ["93.184.215.14"], ["10.0.0.1"])
    with pytest.raises(NotAllowed):
        allowed_addresses("cases.example", 443, False)


def resolved(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names be resolved to these, all at once; the names that are asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for answer in answers for one in answer]

    monkeypatch.setattr("app.webhooks.addresses.getaddrinfo", getaddrinfo)
    return asked


def test_it_arrives_signed_and_is_an_event(receivers: Callable[..., Receiver]) -> None:
    receiver = receivers()
    one = endpoint(receiver.url)
    outcome = post(one, trial_event(), time.time())
    assert (outcome.status, outcome.why) == (204, "")
    (got,) = receiver.got
    assert Webhook(one.secrets[0].secret).verify(got.body, got.headers) == got.event
    assert got.headers["content-type"] == "application/cloudevents+json"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.event["id"] == got.id and got.event["type"] == "counterfoil.test"
    assert got.event["specversion"] == "1.0" and got.event["source"] == "urn:counterfoil"


def test_redirects_are_not_followed(receivers: Callable[..., Receiver]) -> None:
    target = receivers()
    receiver = receivers(lambda _: 307, target.url)
    assert post(endpoint(receiver.url), trial_event(), time.time()).why == "answered 307; redirects are not followed"
    assert not target.got


def test_what_is_not_allowed_is_not_connected_to(receivers: Callable[..., Receiver]) -> None:
    receiver = receivers()
    outcome = post(endpoint(receiver.url, allow_private=False), trial_event(), time.time())
    assert outcome.status is None and "has to be allowed" in outcome.why
    assert not receiver.got


@contextmanager
def listening(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does as it likes with one connection; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                speak(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


def test_an_answer_that_never_ends_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SECONDS", 0.3)

    def drip(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            while True:
                connection.sendall(b"X")
                time.sleep(0.01)
        except OSError:
            pass

    with listening(drip) as url:
        assert post(endpoint(url), trial_event(), time.time()).why == "no answer in time"


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 " + b"O" * 100_000])
def test_what_is_no_answer_is_a_failure(said: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(said)

    with listening(speak) as url:
        outcome = post(endpoint(url), trial_event(), time.time())
    assert outcome.status is None and outcome.why


def test_nobody_there_is_a_failure(receivers: Callable[..., Receiver]) -> None:
    receiver = receivers()
    receiver.stop()
    assert post(endpoint(receiver.url), trial_event(), time.time()).why == "Connection refused"


def test_tls_asks_for_the_name_at_the_address_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    more = ["-addext", "subjectAltName=DNS:hooks.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *more], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    heard: list[bytes] = []

    def serve(server: socket.socket) -> None:
        for _ in range(3):
            connection, _address = server.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as tls:
                    request = tls.recv(65_536)
                    while not request.endswith(b"}"):  # what is closed with something unread is reset
                        request += tls.recv(65_536)
                    heard.append(request)
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                pass

    asked = resolved(monkeypatch, ["127.0.0.1"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        why = post(endpoint(f"https://hooks.example:{port}"), trial_event(), time.time()).why
        assert "certificate is not good" in why  # signed by nobody that is known
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        module._context.cache_clear()
        assert post(endpoint(f"https://hooks.example:{port}"), trial_event(), time.time()).status == 200
        assert "certificate is not good" in post(endpoint(f"https://other.example:{port}"), trial_event(), 0.0).why
        thread.join()
    assert asked == ["hooks.example", "hooks.example", "other.example"]  # each once: nobody else is asked for it
    assert len(heard) == 1 and f"Host: hooks.example:{port}".encode() in heard[0]
