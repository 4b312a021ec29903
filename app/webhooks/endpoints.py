"""Where alerts are sent, and the secrets they are signed with: one JSON file that its owner alone can read."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from app.private_file import read_private_model
from app.webhooks.signature import secret_bytes
from models.errors import InvalidInput

#: What an alert can say.
AlertDecision = Literal["review", "decline"]
MOST_ENDPOINTS = 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_URL = re.compile(r"https?://[!-~]+", re.ASCII)
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Secret(BaseModel):
    """Signs until a time, or for good.

    Attributes:
        secret: ``whsec_…``.
        until: None for the one that is in use; set once another has taken its place.
    """

    model_config = _STRICT

    secret: str = Field(repr=False)
    until: AwareDatetime | None = None

    @field_validator("secret")
    @classmethod
    def _good(cls, value: str) -> str:
        secret_bytes(value)
        return value


class Endpoint(BaseModel):
    """One receiver.

    Attributes:
        url: https; http only where ``allow_http``. It may hold a token, so that nothing shows more than its host.
        secrets: newest first.
        decisions: alerts of these are sent.
        transaction: whether the transaction is sent too, as the log keeps it.
        allow_private: whether its addresses may be private ones or this machine's.
        enabled_at: since when it may be sent to; one that said 410 Gone before then is asked again.
    """

    model_config = _STRICT

    name: str = Field(pattern=rf"^{NAME.pattern}$")
    url: str = Field(max_length=2_048, repr=False)
    secrets: tuple[Secret, ...] = Field(min_length=1)
    decisions: tuple[AlertDecision, ...] = Field(default=("review", "decline"), min_length=1)
    transaction: bool = False
    allow_http: bool = False
    allow_private: bool = False
    enabled_at: AwareDatetime

    @model_validator(mode="after")
    def _good_url(self) -> Endpoint:
        try:
            parts = urlsplit(self.url)
            good = bool(_URL.fullmatch(self.url)) and bool(parts.hostname) and parts.port != 0
            good = good and parts.username is None and not parts.fragment
        except ValueError:  # brackets, or the port
            good = False
        if not good:
            raise ValueError("expected a URL such as https://HOST/PATH, without user, password or #fragment")
        if parts.scheme == "http" and not self.allow_http:
            raise ValueError("expected https; http has to be allowed for the endpoint")
        return self

    @property
    def host(self) -> str:
        """All that is shown of the URL."""
        return urlsplit(self.url).netloc

    def signing(self, now: datetime) -> list[str]:
        """The secrets that sign now."""
        return [one.secret for one in self.secrets if one.until is None or now < one.until]


class EndpointsFile(BaseModel):
    """The whole file."""

    model_config = _STRICT

    format: Literal[1]
    endpoints: tuple[Endpoint, ...] = Field(max_length=MOST_ENDPOINTS)


def read_endpoints(path: Path) -> tuple[Endpoint, ...]:
    """All endpoints in the file; none where there is no file.

    Raises:
        InvalidInput: it cannot be read, is damaged, or others could read or write it.
    """
    found = read_private_model(path, EndpointsFile, "webhook endpoints", "add the endpoints again")
    endpoints = found.endpoints if found else ()
    if len({one.name for one in endpoints}) < len(endpoints):
        raise InvalidInput(f"{path}: the file of webhook endpoints is damaged: two have one name")
    return endpoints


def endpoint_named(path: Path, name: str) -> Endpoint:
    """One endpoint.

    Raises:
        InvalidInput: there is none of this name, or the file is not as it should be.
    """
    for one in read_endpoints(path):
        if one.name == name:
            return one
    raise InvalidInput(f"{path} has no endpoint of this name; 'counterfoil webhooks list' shows those there are")
