"""Files that hold secrets: read only where nobody else can read them, changed by one process at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import InvalidInput

Model = TypeVar("Model", bound=BaseModel)


def read_private(path: Path) -> bytes:
    """The content of a file of mode 0600 or less; 0640 or less where root owns it, as PostgreSQL has it for its keys.

    The latter is how systemd (``LoadCredential``) and Kubernetes (``fsGroup``) hand a secret to a service that is not
    root.

    Raises:
        OSError: it cannot be read.
        InvalidInput: others could read or write it.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        allowed = 0o640 if status.st_uid == 0 else 0o600
        if stat.S_IMODE(status.st_mode) & 0o077 & ~allowed:
            raise InvalidInput(f"{path}: others than its owner may use this file; chmod 600 {path}")
        return file.read()


def read_private_model(path: Path, model: type[Model], what: str, instead: str) -> Model | None:
    """The JSON of such a file as a model; None where there is no file.

    Args:
        what: the file holds, for messages.
        instead: of a good copy, what there is to do after it was deleted.

    Raises:
        InvalidInput: it cannot be read, is damaged, or others could read or write it.
    """
    try:
        content = read_private(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"{path}: the {what} cannot be read: {error.strerror}") from None
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(
            f"{path}: the file of {what} is damaged: {f'{where}: ' if where else ''}{first['msg']}; "
            f"put back a good copy, or delete it and {instead}"
        ) from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else is in such a block for a file of this folder; what is written in it is durable at its end."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.fsync(folder)
    finally:
        os.close(folder)


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place, readable to its owner alone. To be called in :func:`alone`.

    Raises:
        OSError: it cannot be written; names the path.
    """
    aside = path.with_name(f".{path.name}.partial")  # one writer at a time
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            if path.exists():  # root may change the file; it stays the service's
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a disk that is full does not say whose
        raise
    finally:
        aside.unlink(missing_ok=True)
