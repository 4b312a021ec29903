"""Pseudonyms: ids of cards and other entities, replaced by a keyed hash before anything is stored.

A pseudonym is a function of the digest an entity goes by in states, not of the id itself: the states of a model's
snapshot, which hold digests only, can be given the same new keys as the ids that arrive.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from app.private_file import read_private
from app.refusals import FieldProblem, InvalidTransaction
from app.settings import PREFIX, Settings
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey, key_digest
from models.behaviour.replay import State
from models.errors import InvalidInput
from models.key_hash import KeyHash
from models.rows import ParsedRows
from models.schema import TransactionSchema
from models.scorer import Scorer

_FEWEST_SECRET_BYTES = 32
_COLUMNS, _KEY_FILE = PREFIX + "PSEUDONYMISE", PREFIX + "PSEUDONYM_KEY_FILE"
#: First and last digits of a card number beside its hash are nearly the number itself: too few are left to try.
_MASKED = re.compile(r"(?<![0-9])[2-9][0-9]{3,7}(?:[*xX#\u2022\u25cf]{4,}|\.{2,}|_{2,})[0-9]{4}(?![0-9])")
_MASKED_CAUSE = "looks like a masked card number; beside a pseudonym it must not be kept"


class Pseudonyms:
    """Replaces the ids in some entity columns; without columns everything stays as it is.

    Args:
        columns: names of entity columns.
        secret: at least 32 bytes; whoever has it can tell whether a known id belongs to a pseudonym.

    Attributes:
        fingerprint: of columns and secret; "" without columns. A store holds ids made under one of them.
    """

    def __init__(self, columns: tuple[str, ...] = (), secret: bytes = b"") -> None:
        self._columns = columns
        self._keys = KeyHash(secret)
        self.fingerprint = self._keys.hash(f"columns {sorted(columns)}".encode()).hex() if columns else ""

    @staticmethod
    def open(settings: Settings, schema: TransactionSchema) -> Pseudonyms:
        """As the settings want them.

        Raises:
            InvalidInput: a column is none of the schema's entities or its values are counted, or the key file is
                missing, too short or readable to others.
        """
        columns = _columns(settings, schema)
        for name in columns:
            if name not in schema.entities:
                raise InvalidInput(
                    f"setting {_COLUMNS}: profile '{schema.name}' has no such entity column; "
                    f"it has {', '.join(schema.entities) or 'none'}"
                )
            for section, behaviour in schema.entity.items():
                if name in behaviour.code_columns:
                    raise InvalidInput(
                        f"setting {_COLUMNS}: {name} is counted by a distinct: or new: feature of entity.{section}, "
                        "so the model's states know its values by another hash; take the feature out and retrain"
                    )
        return Pseudonyms(columns, _secret(settings) if columns else b"")

    @property
    def audit_key(self) -> bytes:
        """What :mod:`app.decisions.audit_sample` hashes ids with: as secret as the pseudonyms; without any, known."""
        return self._keys.hash(b"audit sample")

    def of(self, value: str) -> str:
        """The pseudonym of an id; a pseudonym stays as it is, so that exported rows can be sent again."""
        return self._keys.of(value)

    def stored(self, column: str, value: str) -> str:
        """An id of an entity column as the store has it."""
        return self.of(value) if column in self._columns else value

    def of_row(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A validated transaction as it is stored.

        Raises:
            InvalidTransaction: it holds a masked card number, which must not stand beside a pseudonym.
        """
        if not self._columns:
            return row
        masked = [name for name, value in row.items() if isinstance(value, str) and looks_masked(value)]
        if masked:
            raise _masked(masked)
        return {**row, **{name: self.of(row[name]) for name in self._columns}}

    def refused(self, texts: Mapping[str, pl.Series]) -> dict[int, InvalidTransaction]:
        """The rows of a table that :meth:`of_row` would refuse, by position; ``texts``: their columns of text."""
        if not self._columns:
            return {}
        found: dict[int, list[str]] = {}
        for name, cells in texts.items():
            masked = [value for value in cells.unique().drop_nulls() if looks_masked(value)]
            for row in cells.is_in(masked).arg_true() if masked else ():
                found.setdefault(row, []).append(name)
        return {row: _masked(names) for row, names in found.items()}

    def rows(self, parsed: ParsedRows) -> ParsedRows:
        """The rows of a table under the ids that the store knows."""
        replaced = {name: self._column(parsed.entity[name]) for name in self._columns}
        return replace(parsed, entity={**parsed.entity, **replaced}) if replaced else parsed

    def states(self, behaviour: Behaviour, states: Mapping[EntityKey, State]) -> Mapping[EntityKey, State]:
        """The states of a snapshot, made of ids as they are sent, under the keys that the store knows."""
        mine = {entity.name for entity in behaviour.entities if entity.behaviour.key in self._columns}
        if not mine:
            return states
        return {
            (name, key_digest(self._keys.of_digest(digest)) if name in mine else digest): state
            for (name, digest), state in states.items()
        }

    def _column(self, cells: pl.Series) -> pl.Series:
        values = cells.unique()
        return cells.replace_strict(values, pl.Series([self.of(value) for value in values], dtype=pl.String))


#: Everything stays as it is.
NO_PSEUDONYMS = Pseudonyms()


def looks_masked(text: str) -> bool:
    """Whether a text holds the first and the last digits of a card number, e.g. 411111******1111."""
    return _MASKED.search(re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", text))) is not None


def keyed_schema(schema: TransactionSchema, settings: Settings) -> TransactionSchema:
    """The schema with what it hashes keys with, where it has ``key_hash``.

    Raises:
        InvalidInput: it needs a secret, and the settings name none that is good.
    """
    if not schema.hashed or settings.pseudonym_key_file is None:
        return schema
    return schema.with_keys(KeyHash(_secret(settings)))


def keyed_scorer(scorer: Scorer, settings: Settings) -> Scorer:
    """The model with what its profile hashes keys with.

    Raises:
        InvalidInput: it needs a secret, and the settings name none, or another one than that of its training.
    """
    schema = keyed_schema(scorer.schema, settings)
    if not schema.hashed:
        return scorer
    if schema.key_hasher.fingerprint != scorer.manifest.key_fingerprint:
        raise InvalidInput(
            f"setting {_KEY_FILE}: model {scorer.manifest.version} was trained with another secret: "
            "every card would be a new one; name the file of that secret, or train again"
        )
    return scorer.with_schema(schema)


def _masked(fields: list[str]) -> InvalidTransaction:
    problems = [FieldProblem(field=field, message=_MASKED_CAUSE) for field in fields]
    return InvalidTransaction(f"{len(fields)} of the fields must not be kept", problems)


def _columns(settings: Settings, schema: TransactionSchema) -> tuple[str, ...]:
    columns = tuple(dict.fromkeys(name for part in settings.pseudonymise.split(",") if (name := part.strip())))
    if columns and settings.pseudonym_key_file is None:
        raise InvalidInput(f"setting {_COLUMNS}: needs a secret; name its file in {_KEY_FILE}")
    if settings.pseudonym_key_file is not None and not columns and not schema.hashed:
        raise InvalidInput(f"setting {_KEY_FILE}: names a secret and {_COLUMNS} no column, so nothing would be hidden")
    return columns


def _secret(settings: Settings) -> bytes:
    path = settings.pseudonym_key_file or Path()
    try:
        secret = read_private(path)
    except OSError as error:
        raise InvalidInput(f"setting {_KEY_FILE}: {path}: {(error.strerror or 'unreadable').lower()}") from None
    except InvalidInput as error:
        raise InvalidInput(f"setting {_KEY_FILE}: {error}") from None
    if len(secret) < _FEWEST_SECRET_BYTES or len(set(secret)) < _FEWEST_SECRET_BYTES // 4:
        raise InvalidInput(
            f"setting {_KEY_FILE}: {path}: expected at least {_FEWEST_SECRET_BYTES} random bytes; make it with "
            f"(umask 077; head -c {_FEWEST_SECRET_BYTES} /dev/urandom > {path.name})"
        )
    return secret
