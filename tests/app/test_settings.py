"""Settings come from COUNTERFOIL_* alone, and a bad one names itself."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import PREFIX, Settings, load_settings, port_of_kubernetes
from models.errors import InvalidInput
from tests.command_line import Cli


def test_environment_is_read_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_PORT", "9001")
    monkeypatch.setenv("COUNTERFOIL_MODEL", "v1")
    monkeypatch.setenv("COUNTERFOIL_OF_A_LATER_VERSION", "1")
    monkeypatch.setenv("PORT", "1")
    settings = load_settings(port=9002)
    assert (settings.port, settings.model, settings.host) == (9002, "v1", "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "70000"), ("MAX_BATCH", "0"), ("LOG_LEVEL", "loud"), ("DEFAULT_REASONS", "21")],
)
def test_a_bad_value_names_its_variable_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(InvalidInput, match=f"setting {PREFIX}{name}: ") as caught:
        load_settings()
    assert "http" not in str(caught.value)
    assert "loud" not in str(caught.value)


@pytest.mark.parametrize(("name", "meant"), [("PSEUDONYMIZE", "PSEUDONYMISE"), ("DURABILTY", "DURABILITY")])
def test_a_misspelt_name_is_not_taken_for_nothing(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(PREFIX + name, "card_id")
    with pytest.raises(InvalidInput, match=f"^{PREFIX}{name}: .* did you mean {PREFIX}{meant}") as caught:
        load_settings()
    assert "card_id" not in str(caught.value)


@pytest.mark.parametrize("service", ["", "DATABASE_", "MODEL_", "RATE_", "A_LONGER_NAME_"])
def test_what_kubernetes_sets_for_services_is_left_alone(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """For one called counterfoil, counterfoil-database …, in every container beside it."""
    linked = {"SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "8000", "SERVICE_PORT_HTTP": "8000"}
    linked |= {"PORT": "tcp://10.0.0.1:8000", "PORT_8000_TCP": "tcp://10.0.0.1:8000", "PORT_8000_TCP_PROTO": "tcp"}
    linked |= {"PORT_8000_TCP_PORT": "8000", "PORT_8000_TCP_ADDR": "10.0.0.1"}
    for name, value in linked.items():
        monkeypatch.setenv(PREFIX + service + name, value)
    assert load_settings() == Settings(port=8000)
    assert load_settings(port=9000).port == 9000
    assert port_of_kubernetes() == (not service)


@pytest.mark.parametrize("value", ["10.0.0.1:8000", "http://10.0.0.1:8000", "tcp", ""])
def test_other_wrong_ports_are_still_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PREFIX + "PORT", value)
    with pytest.raises(InvalidInput, match=f"setting {PREFIX}PORT"):
        load_settings()
    assert not port_of_kubernetes()


def test_settings_are_frozen_and_described() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    assert all(field.description for field in Settings.model_fields.values())


def test_serve_takes_what_becomes_of_a_failing_store(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr("app.server.run", lambda settings, workers: seen.append(settings))  # it would not return
    monkeypatch.setenv("COUNTERFOIL_ON_STORE_FAILURE", "score")
    assert cli("serve").code == 0
    assert cli("serve", "--durability", "normal", "--on-store-failure", "refuse").code == 0
    assert [(one.durability, one.on_store_failure) for one in seen] == [("full", "score"), ("normal", "refuse")]
    assert cli("serve", "--on-store-failure", "loudly").code == 2
