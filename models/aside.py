"""A file written beside its place and renamed once it is whole: nobody ever sees half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import InvalidInput


@contextmanager
def written_aside(path: Path, *, by: str | None = None) -> Iterator[Path]:
    """A path beside ``path`` to write to; renamed to ``path`` on success, deleted on any failure.

    Args:
        by: who writes, in the file's name: this process by default. What a killed process leaves is written over by the
            next of the same name.

    Raises:
        InvalidInput: the folder does not exist or cannot be written.
        OSError: naming the file; its disk is full, for one.
    """
    aside = path.with_name(f".{path.name}.{by or os.getpid()}.partial")
    if path.is_dir():
        raise InvalidInput(f"{path}: cannot be written: it is a folder")
    try:
        aside.touch()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from None
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a disk that is full does not say whose
        raise
    finally:
        aside.unlink(missing_ok=True)
