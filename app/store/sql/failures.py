"""Turns what SQLAlchemy and its drivers raise into StoreUnavailable: the one place that knows their errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from app.store.errors import Contended, StoreUnavailable

T = TypeVar("T")

_SQLITE_ADVICE = {
    "SQLITE_FULL": "free space on its disk",
    "SQLITE_BUSY": "another program holds it; end that program's transaction",
    "SQLITE_READONLY": "make the file and its folder writable for the service",
    "SQLITE_IOERR": "look at its disk: space, quota, health",
    "SQLITE_CANTOPEN": "look at the folder: does it exist, may the service write there",
    "SQLITE_CORRUPT": "the file is damaged; restore a backup",
    "SQLITE_NOTADB": "name another one",
}
#: SQLSTATE classes whose message speaks of the server and never of values: connection, authorisation, transaction
#: state, missing database, resources, locks, operator intervention, system.
_SAFE_CLASSES = ("08", "28", "25", "3D", "53", "55", "57", "58")
#: SQLSTATEs of transactions that another one was in the way of.
_CONTENDED = ("40001", "40P01")


def guard(name: str, act: Callable[[], T]) -> T:
    """What ``act`` returns.

    Args:
        name: of the store, for the message.

    Raises:
        StoreUnavailable: in place of any error of SQLAlchemy or a driver.
    """
    try:
        return act()
    except SQLAlchemyError as error:
        failure = translated(name, error)
    raise failure  # outside, so that not even its context leads to the statement's parameters


def translated(name: str, error: SQLAlchemyError) -> StoreUnavailable:
    """The error to raise; its message holds no value that was written or asked for."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    contended = isinstance(error, IntegrityError) or state in _CONTENDED
    return (Contended if contended else StoreUnavailable)(f"{name}: {_reason(error)}")


def _reason(error: SQLAlchemyError) -> str:
    if isinstance(error, IntegrityError):
        return "the log already holds one of these events; does another process write to this store?"
    original = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorname", "")
        advice = _SQLITE_ADVICE.get("_".join(code.split("_")[:2]), "")
        return f"{original}; {advice}" if advice else f"{code or type(original).__name__}"
    state = getattr(original, "sqlstate", None)
    if state is not None:
        message = getattr(getattr(original, "diag", None), "message_primary", None) or ""
        said = f": {message}" if state[:2] in _SAFE_CLASSES and message else ""
        return f"PostgreSQL reports {state}{said}"
    if isinstance(error, DBAPIError) and (error.connection_invalidated or error.statement is None):
        said = " ".join(str(original).split())
        return f"no connection: {said}" + ("" if "FATAL:" in said else "; is the server running and reachable?")
    return f"{type(original or error).__name__}"
