"""Signing in by OpenID Connect, through a provider that signs whatever it is told to."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.console import oidc
from app.console.users import Identity, create_user, read_users
from app.settings import Settings
from app.store.sql import case_events
from models.errors import InvalidInput
from tests.app.calls import CARDS
from tests.app.console.conftest import Desktop, Office
from tests.command_line import Cli

pytest.importorskip("authlib", reason="the extra oidc is not installed: make test")

from joserfc.jwk import RSAKey

from tests.app.console.provider import CLIENT, SECRET, Provider, serve

BACK = "http://127.0.0.1:8000/console/oidc/callback"


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    """One server for all."""
    keys = [RSAKey.generate_key(2048, auto_kid=True) for _ in range(2)]
    server = serve(provider := Provider(keys[0], keys[:1], keys[1]))
    yield provider
    server.shutdown()
    server.server_close()


@pytest.fixture
def provider(running: Provider) -> Iterator[Provider]:
    """It as it began."""
    yield running
    running.secret, running.published, running.about = SECRET, [running.key], {}


@pytest.fixture
def settings(provider: Provider, tmp_path: Path) -> dict[str, Any]:
    """Of a service that knows it."""
    secret = tmp_path / "client-secret"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")
    return {
        "oidc_issuer": provider.address,
        "oidc_client_id": CLIENT,
        "oidc_client_secret_file": secret,
        "oidc_redirect_url": BACK,
    }


@pytest.fixture
def bank(offices: Callable[..., Office], settings: dict[str, Any]) -> Office:
    """Whose people sign in by it."""
    return offices(**settings)


def back(desktop: Desktop, query: dict[str, str]) -> httpx.Response:
    """They come back from the provider."""
    return desktop.get(f"/oidc/callback?{httpx.QueryParams(query)}")


def sign_in(provider: Provider, office: Office, **claims: Any) -> tuple[Desktop, httpx.Response]:
    """Somebody signs in."""
    desktop = office.local()
    return desktop, back(desktop, provider.sign_in(desktop.get("/oidc").headers["location"], claims=claims))


def test_somebody_signs_in_and_out(provider: Provider, bank: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    desktop = bank.local()
    assert desktop.get("").headers["location"] == "/console/sign-in"
    page = desktop.get("/sign-in").text
    assert f"Sign in with {provider.address.removeprefix('http://')}" in page
    assert "Password" not in page
    left = desktop.get("/oidc")
    cookie = left.headers["set-cookie"]
    assert {"HttpOnly", "Path=/console/oidc/callback", "SameSite=lax", "Max-Age=600"} <= set(cookie.split("; "))
    assert left.headers["content-security-policy"].startswith("default-src 'none'; ")
    query = provider.sign_in(left.headers["location"])
    assert back(desktop, query).headers["location"] == "/console"
    assert "ana-bank.example" in desktop.get("").text
    assert "there is no password of yours here" in desktop.get("/account").text
    (user,) = read_users(bank.folder / "users.json") or ()
    assert user.identity == Identity(issuer=provider.address, subject="248289761001")
    assert (user.name, user.role, user.password) == ("ana-bank.example", "analyst", "")
    told = [(one.actor, one.action) for one in bank.desk.read(lambda c: case_events.page(c, None, 5))]
    assert told == [("ana-bank.example", "sign in")]
    verifier = httpx.QueryParams(provider.bodies[-1])["code_verifier"]
    secrets = [query["code"], query["state"], verifier, SECRET, provider.tokens[-1], user.identity.subject]
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx")  # the browser's
    assert not [one for one in [*secrets, desktop.cookies["counterfoil_session"]] if one in logged]
    token = desktop.cookies["counterfoil_session"]
    desktop.send("/sign-out")
    desktop.cookies["counterfoil_session"] = token
    assert desktop.get("").status_code == 303


def test_who_is_who_goes_by_the_subject(provider: Provider, bank: Office) -> None:
    """A new name at the provider is no other person here, and its role is followed; four eyes see one author."""
    sign_in(provider, bank, roles=["manager"])
    again, _ = sign_in(provider, bank, roles=["auditor", "senior"], preferred_username="ben")
    (user,) = read_users(bank.folder / "users.json") or ()
    assert (user.name, user.role) == ("ana-bank.example", "senior")
    assert "ana-bank.example" in again.get("").text
    other, answer = sign_in(provider, bank, sub="another")
    assert answer.status_code == 403
    assert "Somebody else has your name here" in answer.text
    assert other.get("").status_code == 303


#: What is wrong with a token, how it is signed, and what is said.
HOSTILE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"aud": "of-others"}, {}, "for another audience than COUNTERFOIL_OIDC_CLIENT_ID"),
    ({"aud": [CLIENT, "of-others"], "azp": "of-others"}, {}, "for another audience"),
    ({"aud": ["of-others"], "azp": CLIENT}, {}, "for another audience"),
    ({"aud": None}, {}, "lacks a claim|for another audience"),
    ({"iss": "https://evil.example"}, {}, "of another issuer than COUNTERFOIL_OIDC_ISSUER"),
    ({"nonce": "of another sign-in"}, {}, "belongs to another sign-in"),
    ({"nonce": None}, {}, "belongs to another sign-in"),
    ({"exp": int(time.time()) - 3_600}, {}, "has expired"),
    ({"exp": None}, {}, "has expired"),
    ({"iat": int(time.time()) + 3_600}, {}, "of the future"),
    ({}, {"alg": "none"}, "not signed with a key"),
    ({}, {"alg": "HS256", "key": "public"}, "not signed with a key"),
    ({}, {"key": "others"}, "not signed with a key"),
    ({"sub": CARDS[0]}, {}, "no subject that can be kept"),
    ({"sub": 7}, {}, "no subject that can be kept|has one that is wrong"),
    ({"roles": "staff"}, {}, "claim roles gives you no role here"),
    ({"roles": [{"analyst": 1}]}, {}, "gives you no role here"),
    ({"roles": None}, {}, "gives you no role here"),
    ({"preferred_username": None}, {}, "no claim preferred_username"),
    ({"preferred_username": CARDS[0]}, {}, "no claim preferred_username"),
]


def test_a_token_that_is_not_good_lets_nobody_in(provider: Provider, bank: Office) -> None:
    keys = {
        "public": provider.key.as_pem(private=False),  # what everybody has: the oldest trick of all
        "others": RSAKey.import_key({**provider.others.as_dict(private=True), "kid": provider.key.kid or ""}),
    }
    for claims, how, why in HOSTILE:
        desktop = bank.local()
        signed = {name: keys.get(value, value) for name, value in how.items()}
        query = provider.sign_in(desktop.get("/oidc").headers["location"], claims=claims, **signed)
        answer = back(desktop, query)
        assert answer.status_code == 403, claims
        assert re.search(why, answer.text), (claims, answer.text)
        assert "counterfoil_session" not in desktop.cookies
        assert not read_users(bank.folder / "users.json")
        assert not [one for one in claims.values() if isinstance(one, str) and len(one) > 5 and one in answer.text]


def test_only_the_browser_that_left_comes_back_and_once(provider: Provider, bank: Office) -> None:
    desktop, thief = bank.local(), bank.local()
    query = provider.sign_in(desktop.get("/oidc").headers["location"])
    thief.get("/oidc")
    assert "did not begin in this browser" in back(thief, query).text
    assert "did not begin in this browser" in back(bank.local(), query).text
    assert "did not begin in this browser" in back(desktop, query | {"state": ""}).text
    assert len(provider.codes) == 1, "the code was tried"
    kept = desktop.get("/oidc").cookies["counterfoil_oidc"]
    query = provider.sign_in(desktop.get("/oidc").headers["location"])
    cookie = desktop.cookies["counterfoil_oidc"]
    assert cookie != kept
    assert back(desktop, query | {"iss": "https://evil.example"}).status_code == 403
    desktop.cookies["counterfoil_oidc"] = cookie
    answer = back(desktop, query)
    assert answer.status_code == 303
    assert 'counterfoil_oidc=""; ' in answer.headers["set-cookie"], "kept after its use"
    desktop.cookies = {"counterfoil_oidc": cookie}
    assert "took the code of this sign-in no more" in back(desktop, query).text
    refused = back(desktop, {"state": query["state"], "error": "access_denied", "error_description": "<b>"})
    assert refused.status_code == 403
    assert "<b>" not in refused.text
    bank.user("ben")
    form = re.search(r'<form method="post" action="([^"]+)">', back(bank.local(), query).text)
    assert form is not None and form[1] == "/console/sign-in", "a password would go to the address of the code"


def test_a_code_of_somebody_elses_sign_in_is_of_no_use(provider: Provider, bank: Office) -> None:
    """It was given for another challenge of PKCE."""
    victim, thief = bank.local(), bank.local()
    stolen = provider.sign_in(victim.get("/oidc").headers["location"])
    own = provider.sign_in(thief.get("/oidc").headers["location"])
    assert "took the code" in back(thief, own | {"code": stolen["code"]}).text


def test_new_keys_count_at_once(provider: Provider, bank: Office) -> None:
    new = RSAKey.import_key({**provider.others.as_dict(private=True), "kid": "new"})
    sign_in(provider, bank)
    provider.published = [provider.key, new]
    desktop = bank.local()
    query = provider.sign_in(desktop.get("/oidc").headers["location"], key=new)
    assert back(desktop, query).status_code == 303


def test_a_public_client_and_a_claim_in_an_object(
    provider: Provider, offices: Callable[..., Office], settings: dict[str, Any]
) -> None:
    provider.secret = None
    settings["oidc_client_secret_file"] = None
    office = offices(**settings, oidc_role_claim="realm_access.roles", oidc_roles="cn=fraud=manager, staff=auditor")
    desktop, answer = sign_in(provider, office, realm_access={"roles": ["cn=fraud", "staff"]})
    assert answer.status_code == 303
    assert "manager" in desktop.get("").text


def test_without_a_claim_only_known_people_are_let_in(
    provider: Provider, offices: Callable[..., Office], settings: dict[str, Any]
) -> None:
    office = offices(**settings, oidc_role_claim="")
    _, answer = sign_in(provider, office, sub="<ana>")
    assert answer.status_code == 403
    assert "You have no user here" in answer.text and "&lt;ana&gt;" in answer.text
    path, ana = office.folder / "users.json", Identity(issuer=provider.address, subject="<ana>")
    assert create_user(path, "ana", "senior", ana) == ""
    desktop, answer = sign_in(provider, office, sub="<ana>", roles=["admin"])
    assert answer.status_code == 303
    assert "senior" in desktop.get("").text
    assert office.local().send("/sign-in", name="ana", password="").status_code == 401
    with pytest.raises(InvalidInput, match="the user ana has this subject already"):
        create_user(path, "eve", "senior", ana)


def test_an_issuer_that_is_not_there_is_told_and_tried_again(
    provider: Provider, bank: Office, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    provider.about = {"issuer": "https://another.example"}
    oidc.Provider(Settings(**settings)).check()
    assert "calls itself another issuer than COUNTERFOIL_OIDC_ISSUER" in caplog.text
    answer = bank.local().get("/oidc")
    assert answer.status_code == 503
    assert "another issuer" in answer.text
    provider.about = {}
    assert bank.local().get("/oidc").status_code == 303


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"oidc_issuer": "http://bank.example"}, "OIDC_ISSUER: expected an address that begins with https://"),
        ({"oidc_client_id": ""}, "OIDC_CLIENT_ID: expected the id"),
        ({"oidc_redirect_url": "https://bank.example/console"}, f"OIDC_REDIRECT_URL: .* with the path {oidc.CALLBACK}"),
        ({"oidc_redirect_url": ""}, "OIDC_REDIRECT_URL: expected an address"),
        ({"oidc_client_secret_file": Path("nowhere")}, "nowhere: the secret of OpenID Connect's client cannot be read"),
        ({"oidc_roles": "staff=king"}, "OIDC_ROLES: expected VALUE=ROLE"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(settings: dict[str, Any], change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        oidc.Provider(Settings(**(settings | change)))


def test_without_the_extra_the_start_says_what_to_install(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "authlib", None)
    with pytest.raises(InvalidInput, match=r"pip install 'counterfoil\[oidc\]'"):
        oidc.Provider(Settings(**settings))


def test_an_operator_makes_a_user_for_a_subject(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ("users", "create", "ana", "--role", "senior", "--subject", "248289761001")
    assert "set COUNTERFOIL_OIDC_ISSUER first" in cli(*made).err
    monkeypatch.setenv("COUNTERFOIL_OIDC_ISSUER", "https://login.bank.example")
    assert "signs in through the issuer" in cli(*made).out
    (user,) = read_users(cli.folder / "users.json") or ()
    assert user.identity == Identity(issuer="https://login.bank.example", subject="248289761001")
    assert cli("users", "list").out.rstrip().endswith("issuer")
