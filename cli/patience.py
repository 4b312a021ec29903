"""Output that outlives its reader: ``counterfoil train … | head`` ends the reading, not the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Patient:
    """A stream; once nobody reads it, what is written goes nowhere, and its writer is not disturbed.

    Args:
        stream: with a descriptor of its own, if it can lose its reader.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.abandoned = False

    def write(self, text: str) -> int:
        """Write, or drop it."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self.abandon()
            return len(text)

    def flush(self) -> None:
        """Pass on what waits, or drop it."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self.abandon()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def abandon(self) -> None:
        """Lead the descriptor to nowhere: also for what waits in the buffer, and for whoever else writes to it."""
        self.abandoned = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextmanager
def patient_output() -> Iterator[None]:
    """Make standard output and standard error so, for as long as a command runs."""
    before = sys.stdout, sys.stderr
    patient = [None if stream is None else Patient(stream) for stream in before]  # None: closed before the start
    sys.stdout, sys.stderr = patient  # with what print and Rich need of a stream
    try:
        yield
    finally:
        for stream in filter(None, patient):
            try:
                stream.flush()
            except OSError:  # a full disk, which the command has told of; the interpreter would try once more
                stream.abandon()
        sys.stdout, sys.stderr = before


def delivered() -> bool:
    """Whether what was printed got anywhere, as far as can be known."""
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return not getattr(sys.stdout, "abandoned", False)
