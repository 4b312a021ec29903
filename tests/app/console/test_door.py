"""Who is let in to the console."""

from __future__ import annotations

import stat
from collections.abc import Callable

import pytest

from app.access.key_changes import create_key
from app.console.users import UsersFile, create_user, read_users, remove_user, set_password, set_role
from models.errors import InvalidInput
from tests.app.calls import CARDS
from tests.app.console.conftest import Desktop, Office


def test_nobody_signs_in_on_this_machine_until_there_is_a_user(office: Office) -> None:
    local = office.local()
    page = local.get("")
    assert page.status_code == 200
    assert "Open to this machine alone, without a password" in page.text
    create_user(office.folder / "users.json", "ana", "analyst")
    assert local.get("").headers["location"] == "/console/sign-in"


def test_a_page_that_points_its_name_here_is_not_local(office: Office) -> None:
    for host in ("counterfoil.bank.example", "127.0.0.1.rebind.example", "192.168.0.7:8000"):
        stranger = Desktop(office.client, {"Host": host})
        assert stranger.get("").headers["location"] == "/console/sign-in", host
        assert "counterfoil users create" in stranger.get("/sign-in").text


def test_where_api_keys_are_asked_for_nobody_is_local(office: Office) -> None:
    create_key(office.folder / "keys.json", "switch", ["score"])
    assert office.local().get("").headers["location"] == "/console/sign-in"


def test_a_service_for_other_machines_has_no_local_user(offices: Callable[..., Office]) -> None:
    assert offices(host="0.0.0.0").local().get("").headers["location"] == "/console/sign-in"


def test_a_session_begins_with_the_password_and_ends_with_sign_out(office: Office) -> None:
    password = create_user(office.folder / "users.json", "ana", "analyst")
    ana = office.local()
    assert ana.post("/sign-in", name="ana", password=password).status_code == 200
    assert "analyst" in ana.get("").text
    token = ana.cookies["counterfoil_session"]
    assert ana.send("/sign-out").status_code == 303
    ana.cookies["counterfoil_session"] = token
    assert ana.get("").headers["location"] == "/console/sign-in"


def test_a_wrong_password_and_an_unknown_name_are_told_alike(office: Office) -> None:
    create_user(office.folder / "users.json", "ana", "analyst")
    told = {office.local().send("/sign-in", name=name, password="wrong").text for name in ("ana", "nobody")}
    assert len(told) == 1


def test_passwords_are_not_tried_for_ever(office: Office) -> None:
    """Nobody's: an account that does not exist is guarded like one that does."""
    last = [office.local().send("/sign-in", name="ana", password="wrong") for _ in range(6)][-1]
    assert last.status_code == 429
    assert "too many passwords" in last.text.lower()


def test_the_cookie_goes_to_the_console_over_tls_alone_and_to_no_script(office: Office) -> None:
    password = create_user(office.folder / "users.json", "ana", "analyst")
    for host, secure in (("bank.example", True), ("127.0.0.1:8000", False)):
        desktop = Desktop(office.client, {"Host": host, "Sec-Fetch-Site": "same-origin"})
        cookie = desktop.send("/sign-in", name="ana", password=password).headers["set-cookie"]
        assert {"HttpOnly", "Path=/console", "SameSite=lax"} <= set(cookie.split("; "))
        assert ("Secure" in cookie) == secure


def test_sessions_end_with_their_user_or_password_and_follow_the_role(office: Office) -> None:
    path = office.folder / "users.json"
    ana, ben = office.user("ana"), office.user("ben")
    set_role(path, "ana", "auditor")
    assert "auditor" in ana.get("").text
    remove_user(path, "ben")
    assert ben.get("").status_code == 303
    user = (read_users(path) or ())[0]
    later = user.model_copy(update={"changed_at": user.changed_at.replace(year=user.changed_at.year + 1)})
    path.write_text(UsersFile(format=1, users=(later,)).model_dump_json())
    assert ana.get("").status_code == 303


def test_people_change_their_own_password(office: Office) -> None:
    password = create_user(office.folder / "users.json", "ana", "analyst")
    ana, other = office.local(), office.local()
    for desktop in (ana, other):
        desktop.send("/sign-in", name="ana", password=password)
    assert ana.send("/account", password=password, new="short").status_code == 422
    assert ana.send("/account", password="wrong", new="correct horse battery").status_code == 422
    assert "was changed" in ana.post("/account", password=password, new="correct horse battery").text
    assert other.get("").status_code == 303
    again = office.local()
    assert again.send("/sign-in", name="ana", password="correct horse battery").status_code == 303


def test_only_the_consoles_own_pages_change_anything(office: Office) -> None:
    refused: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ]
    for headers in refused:
        assert Desktop(office.client, {"Host": "127.0.0.1:8000", **headers}).send("/next").status_code == 403, headers
    assert not any(case.holder for case in office.queue())
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://127.0.0.1:8000"}):
        assert Desktop(office.client, {"Host": "127.0.0.1:8000", **headers}).send("/next").status_code == 303, headers
    assert office.queue()[0].holder


def test_names_and_files_are_as_they_should_be(office: Office) -> None:
    path = office.folder / "users.json"
    for name in ("", "Ana", "a b", "x" * 65, CARDS[0]):
        with pytest.raises(InvalidInput, match="name: expected"):
            create_user(path, name, "analyst")
    create_user(path, "ana", "analyst")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InvalidInput, match="already"):
        create_user(path, "ana", "admin")
    with pytest.raises(InvalidInput, match="no such user"):
        set_password(path, "ben")
    assert "argon2id" in path.read_text()
    path.write_text(path.read_text()[:-9])
    page = office.local().get("")
    assert page.status_code == 503
    assert "users cannot be read" in page.text


def test_without_a_console_there_are_no_pages(offices: Callable[..., Office]) -> None:
    assert offices(console=False).local().get("").status_code == 404
