"""Settings of the service: ``COUNTERFOIL_*`` environment variables. The one place that reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.access.keys import MOST_RATE
from app.store.contract import Durability, OnStoreFailure
from models.errors import InvalidInput

PREFIX = "COUNTERFOIL_"
#: The most reasons one transaction can be given.
MAX_REASONS = 20


#: What Kubernetes (and Docker, of linked containers) sets for a service: NAME_SERVICE_HOST, NAME_PORT_8000_TCP_ADDR, …;
#: and of NAME_PORT, the value.
_LINKED = re.compile(r"(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$")
_LINK = re.compile(r"(tcp|udp|sctp)://")


class Settings(BaseSettings):
    """Every setting of the service. A keyword argument wins over the environment, the environment over the default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    artifacts: Path = Field(default=Path("artifacts"), description="Folder of the model versions")
    model: str | None = Field(
        default=None, description="Version, or folder of a version, to serve instead of the active one"
    )
    database_url: str = Field(
        default="sqlite:///counterfoil.db",
        min_length=1,
        description="Where decisions, labels and the states of cards and merchants are kept: sqlite:///FILE, "
        "postgresql://USER@HOST/NAME (with ?shared=true where several processes share it), or redis://HOST, which any "
        "number may share",
    )
    shadow_file: Path = Field(
        default=Path("shadow.db"), description="Where counterfoil shadow keeps what challengers decided, an SQLite file"
    )
    durability: Durability = Field(
        default="full",
        description="What a power cut can cost: full nothing that was answered, normal the last moments, never the "
        "order (Redis is told so itself, and warned of where it is not; a crash of the process alone costs nothing in "
        "either)",
    )
    on_store_failure: OnStoreFailure = Field(
        default="refuse",
        description="What becomes of transactions while the store takes no writes: refuse with 503, or score without "
        'recording them, which each reply says with "logged": false',
    )
    state_memory_mb: int = Field(
        default=2_048,
        ge=16,
        description="Memory for the states of cards and merchants; beyond it those idle longest stay in the store",
    )
    future_tolerance_seconds: int = Field(
        default=300,
        ge=0,
        description="How far a transaction may be ahead of this machine's clock, with behaviour features, and "
        "by how much the clocks of those who label may differ",
    )
    pseudonymise: str = Field(
        default="",
        description="Entity columns whose ids are stored as a keyed hash only, separated by commas, e.g. card_id",
    )
    pseudonym_key_file: Path | None = Field(
        default=None, description="File with the secret of that hash: 32 bytes or more, readable to its owner alone"
    )
    keys_file: Path = Field(
        default=Path("keys.json"),
        description="API keys, as counterfoil keys writes them; none are asked for without it",
    )
    rules_file: Path = Field(
        default=Path("rules.toml"),
        description="Rules that have a say beside the score; there need be none. A change counts within a second",
    )
    webhooks_file: Path = Field(
        default=Path("webhooks.json"),
        description="Where alerts are sent, and with which secrets, as counterfoil webhooks writes it",
    )
    webhooks_cursors: Path = Field(
        default=Path("webhooks.db"), description="Where counterfoil webhooks run keeps how far it is, an SQLite file"
    )
    rate_limit: float = Field(
        default=0,
        ge=0,
        le=MOST_RATE,
        description="Requests per second of one API key, counted by each process; 0 for no limit. A key may have "
        "one of its own",
    )
    console: bool = Field(default=True, description="Whether there is a console for analysts at /console")
    users_file: Path = Field(
        default=Path("users.json"),
        description="Users of the console, as counterfoil users writes them; without it, and without API keys, the "
        "console is open to this machine alone",
    )
    alert_target_minutes: int = Field(
        default=60,
        ge=1,
        description="How old an alert may become before somebody decides; the console shows older ones",
    )
    oidc_issuer: str = Field(
        default="",
        description="Issuer of OpenID Connect whose people sign in to the console, https://…; needs the extra oidc",
    )
    oidc_client_id: str = Field(default="", description="Id of the client that the issuer knows the console by")
    oidc_client_secret_file: Path | None = Field(
        default=None,
        description="File with that client's secret, readable to its owner; a public client has none",
    )
    oidc_redirect_url: str = Field(
        default="", description="Where the issuer sends people back: https://HOST/console/oidc/callback"
    )
    oidc_role_claim: str = Field(
        default="roles",
        description="Claim of the ID token that gives the role, dots going into objects. Without one only users made "
        "by counterfoil users create --subject are let in, with the role of the users file",
    )
    oidc_roles: str = Field(
        default="",
        description="Which of its values give which role: VALUE=ROLE, separated by commas, the most rights count; "
        "without any, the names of the roles but admin",
    )
    oidc_name_claim: str = Field(
        default="preferred_username", min_length=1, description="Claim of the ID token that a new user is named after"
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port to listen on; 0 takes any free one")
    max_connections: int = Field(
        default=4_096,
        ge=32,
        description="Connections one process may have open; fewer where ulimit -n is below twice that and 64",
    )
    keep_alive_seconds: int = Field(
        default=75,
        ge=1,
        description="How long a connection stays open without a request; let a proxy in front keep its own for less",
    )
    head_seconds: int = Field(
        default=5,
        ge=1,
        description="How long a client may take to send the head of a request, the first one counted from connecting",
    )
    min_bytes_per_second: int = Field(
        default=1_024,
        ge=0,
        description="How fast a client must send a body and read an answer, averaged over 7 seconds; 0 for any pace",
    )
    max_body_bytes: int = Field(
        default=1 << 20, ge=1_024, le=64 << 20, description="Largest JSON body, counted while it arrives"
    )
    max_batch: int = Field(default=1_000, ge=1, le=100_000, description="Most transactions in one POST /v1/score/batch")
    max_csv_bytes: int = Field(
        default=4 << 30,
        ge=1_024,
        description="Largest CSV upload. Memory does not grow with it, but the result waits in a temporary file "
        "for a client that sends everything before it reads",
    )
    max_wait_ms: int = Field(
        default=100,
        ge=10,
        le=60_000,
        description="How long a request for scores may have to wait for those before it; one that would wait longer "
        "is refused at once with 503, before its body is read",
    )
    default_reasons: int = Field(
        default=3, ge=0, le=MAX_REASONS, description="Reasons per transaction where a JSON request names no number"
    )
    shutdown_seconds: int = Field(
        default=8, ge=1, description="How long requests in flight may take to finish after SIGTERM"
    )
    log_format: Literal["json", "console"] | None = Field(
        default=None,
        description="How log lines look: json, one object a line; console, for reading. Without one, console where "
        "standard error is a terminal, else json",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log messages written"
    )

    @field_validator("port", mode="before")
    @classmethod
    def _no_link(cls, value: Any) -> Any:
        """The default in place of what Kubernetes sets for a Service of this name, ``tcp://10.0.0.1:8000``."""
        return cls.model_fields["port"].default if isinstance(value, str) and _LINK.match(value) else value


def port_of_kubernetes() -> bool:
    """Whether COUNTERFOIL_PORT was set for every container beside a Kubernetes Service named counterfoil."""
    return any(name.upper() == f"{PREFIX}PORT" and _LINK.match(value) for name, value in os.environ.items())


def share_metrics(folder: Path) -> None:
    """Let processes that are started from here on count together: prometheus_client looks for this when imported."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with the given ones on top.

    Raises:
        InvalidInput: naming the variable and what was expected there, never its value; or one that is meant for a
            setting and is none.
    """
    _refuse_misspelt(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = PREFIX + str(first["loc"][0]).upper()
        raise InvalidInput(f"setting {key}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """A setting that is taken for none would be missed by nobody: ids would be stored as they are.

    Other names under the prefix are left alone, and so is what Kubernetes sets for Services called counterfoil or
    counterfoil-database.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name, value in ((name.upper(), value) for name, value in environment.items()):
        if name.startswith(PREFIX) and name not in known and not _LINKED.search(name) and not _LINK.match(value):
            meant = get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], 1, 0.8)
            if meant:
                raise InvalidInput(f"{name}: there is no such setting; did you mean {PREFIX}{meant[0]}?")
