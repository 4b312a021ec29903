"""Endpoints added, changed and removed: the file changed under a lock, written aside, synced and put in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from app.private_file import alone, write_private
from app.webhooks.endpoints import MOST_ENDPOINTS, NAME, AlertDecision, Endpoint, EndpointsFile, Secret, read_endpoints
from app.webhooks.signature import new_secret
from models.errors import InvalidInput
from models.pan import contains_card_number


def add_endpoint(
    path: Path,
    name: str,
    url: str,
    *,
    decisions: Sequence[AlertDecision],
    transaction: bool = False,
    allow_http: bool = False,
    allow_private: bool = False,
) -> Endpoint:
    """Add an endpoint to the file, which is made if there is none; with a new secret.

    Raises:
        InvalidInput: name or URL are none, or the file is not as it should be.
        OSError: the file cannot be written.
    """
    if not NAME.fullmatch(name) or contains_card_number(name):
        raise InvalidInput("name: expected 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit")
    try:
        added = Endpoint(
            name=name,
            url=url,
            secrets=(Secret(secret=new_secret()),),
            decisions=tuple(dict.fromkeys(decisions)),
            transaction=transaction,
            allow_http=allow_http,
            allow_private=allow_private,
            enabled_at=datetime.now(UTC),
        )
    except ValidationError as error:
        raise InvalidInput(f"URL: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    with _changing(path) as endpoints:
        if any(one.name == name for one in endpoints):
            raise InvalidInput(f"{path} has an endpoint {name} already; give this one another name, or remove that one")
        if len(endpoints) >= MOST_ENDPOINTS:
            raise InvalidInput(f"{path} has {MOST_ENDPOINTS} endpoints, which is the most")
        endpoints.append(added)
    return added


def rotate_secret(path: Path, name: str, keep: timedelta) -> Endpoint:
    """Give an endpoint a new secret. For as long as ``keep``, messages are signed with the one before, too.

    Raises:
        InvalidInput: there is no such endpoint, or the file is not as it should be.
        OSError: it cannot be written.
    """
    now = datetime.now(UTC)

    def rotate(one: Endpoint) -> Endpoint:
        before = Secret(secret=one.secrets[0].secret, until=now + keep)
        kept = [secret for secret in (before, *one.secrets[1:]) if secret.until and secret.until > now]
        return one.model_copy(update={"secrets": (Secret(secret=new_secret()), *kept)})

    return _change(path, name, rotate)


def enable_endpoint(path: Path, name: str) -> Endpoint:
    """Have an endpoint that said 410 Gone asked again, from where it stopped.

    Raises:
        InvalidInput, OSError: as :func:`rotate_secret`.
    """
    return _change(path, name, lambda one: one.model_copy(update={"enabled_at": datetime.now(UTC)}))


def remove_endpoint(path: Path, name: str) -> None:
    """Take an endpoint out of the file.

    Raises:
        InvalidInput, OSError: as :func:`rotate_secret`.
    """
    _change(path, name, lambda one: None)


def _change(path: Path, name: str, change: Callable[[Endpoint], Endpoint | None]) -> Endpoint:
    with _changing(path) as endpoints:
        for place, one in enumerate(endpoints):
            if one.name == name:
                changed = change(one)
                endpoints[place : place + 1] = [changed] if changed else []
                return changed or one
    raise InvalidInput(f"{path} has no endpoint of this name; 'counterfoil webhooks list' shows those there are")


@contextmanager
def _changing(path: Path) -> Iterator[list[Endpoint]]:
    """The endpoints, to be changed by one process at a time; written durably unless the block raises."""
    path = path.resolve()
    with alone(path):
        before = read_endpoints(path)
        endpoints = list(before)
        yield endpoints
        if tuple(endpoints) != before:
            content = EndpointsFile(format=1, endpoints=tuple(endpoints)).model_dump_json(indent=1)
            write_private(path, content.encode() + b"\n")
