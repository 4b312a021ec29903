"""Users of the console as they lie on disk: one JSON file beside the API keys, with argon2 hashes of passwords."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.file_signature import file_signature
from app.private_file import alone, read_private_model, write_private
from models.errors import InvalidInput
from models.pan import contains_card_number

Role = Literal["analyst", "senior", "manager", "auditor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")


class Identity(BaseModel):
    """Who somebody is to a provider of OpenID Connect: both never change, and no two people have the same."""

    model_config = _STRICT

    issuer: str = Field(min_length=1)
    subject: str = Field(min_length=1)


class User(BaseModel):
    """What is kept of a user.

    Attributes:
        password: argon2id, in PHC format; "" where there is none to sign in with.
        changed_at: when the password was set; sessions that began before are over.
    """

    model_config = _STRICT

    name: str = Field(pattern=rf"^{NAME.pattern}$")
    role: Role
    password: str
    created_at: AwareDatetime
    changed_at: AwareDatetime
    identity: Identity | None = None


class UsersFile(BaseModel):
    """The whole file."""

    model_config = _STRICT

    format: Literal[1]
    users: tuple[User, ...]


def read_users(path: Path) -> tuple[User, ...] | None:
    """All users in the file; None where there is no file.

    Raises:
        InvalidInput: it cannot be read, is damaged, or others could read or write it.
    """
    found = read_private_model(path, UsersFile, "users", "create the users anew")
    if found is None:
        return None
    users = found.users
    if len({user.name for user in users}) < len(users):
        raise InvalidInput(f"{path}: the file of users is damaged: two users have one name")
    return users


class Users:
    """The users of a file, looked up anew whenever it changes. Any thread.

    Args:
        path: of the file; there need not be one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._users: dict[str, User] | None = None

    def now(self) -> dict[str, User] | None:
        """By name; None where there is no file.

        Raises:
            InvalidInput: it is damaged: nobody is let in by a file that says nothing.
        """
        signature = file_signature(self._path)
        if signature is None:
            self._seen = self._users = None
            return None
        if signature != self._seen:
            users = read_users(self._path)
            self._users = None if users is None else {user.name: user for user in users}
            self._seen = signature
        return self._users


def create_user(path: Path, name: str, role: Role, identity: Identity | None = None) -> str:
    """Add a user; their first password, or "" for one with an identity, who signs in by it alone.

    Raises:
        InvalidInput: the name is none or taken, or the file is not as it should be.
        OSError: it cannot be written.
    """
    if not NAME.fullmatch(name) or contains_card_number(name):
        raise InvalidInput("name: expected 1 to 64 of a-z, 0-9, '.', '_' or '-', beginning with a letter or digit")
    with _changing(path) as users:
        if name in users:
            raise InvalidInput(f"there is a user {name} already; counterfoil users password {name} sets a new password")
        if identity is not None and (holder := known_by(identity, users)) is not None:
            raise InvalidInput(f"the user {holder.name} has this subject already")
        password, now = "" if identity else _new_password(), _now()
        users[name] = User(
            name=name,
            role=role,
            password=_hashed(password) if password else "",
            created_at=now,
            changed_at=now,
            identity=identity,
        )
    return password


def known_by(identity: Identity, users: dict[str, User]) -> User | None:
    """Whose it is, among users by name; None where it is nobody's."""
    return next((user for user in users.values() if user.identity == identity), None)


def set_password(path: Path, name: str, password: str | None = None) -> str:
    """Replace a user's password, with a new random one by default; it is returned. Sessions are over with it."""
    password = password or _new_password()
    with _changing(path) as users:
        users[name] = _known(path, users, name).model_copy(update={"password": _hashed(password), "changed_at": _now()})
    return password


def set_role(path: Path, name: str, role: Role) -> None:
    """Give a user another role, from their next page on."""
    with _changing(path) as users:
        users[name] = _known(path, users, name).model_copy(update={"role": role})


def remove_user(path: Path, name: str) -> None:
    """Take a user out of the file; what they did stays theirs."""
    with _changing(path) as users:
        del users[_known(path, users, name).name]


def _known(path: Path, users: dict[str, User], name: str) -> User:
    if name not in users:
        raise InvalidInput(f"{path} holds no such user; 'counterfoil users list' shows those there are")
    return users[name]


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, User]]:
    path = path.resolve()
    with alone(path):
        users = {user.name: user for user in read_users(path) or ()}
        yield users
        content = UsersFile(format=1, users=tuple(users.values())).model_dump_json(indent=1, exclude_none=True)
        write_private(path, content.encode() + b"\n")


def _new_password() -> str:
    return secrets.token_urlsafe(12)


def _hashed(password: str) -> str:
    from argon2 import PasswordHasher  # noqa: PLC0415 - only where a password is set or tried

    return PasswordHasher().hash(password)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
