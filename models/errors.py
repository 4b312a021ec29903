"""The one tree of errors: every failure a caller can cause or must act on."""

from __future__ import annotations


class CounterfoilError(Exception):
    """Base of every error this project raises on purpose. Its message is written for the user."""


class InvalidInput(CounterfoilError, ValueError):
    """Something the caller handed over (a file, a row, an option) cannot be used."""


class InvalidProfile(InvalidInput):
    """A schema profile is unreadable or contradicts itself."""


class InvalidBundle(CounterfoilError):
    """A model version on disk is damaged, foreign or tampered with.

    Args:
        file: the file that failed, relative to the version's folder.
        check: the name of the check that failed, e.g. ``sha256``.
        detail: what was found and what to do.
    """

    def __init__(self, file: str, check: str, detail: str) -> None:
        super().__init__(f"{file}: failed check '{check}': {detail}")
        self.file = file
        self.check = check


class ModelNotFound(CounterfoilError):
    """The named model version, or an active one, does not exist."""
