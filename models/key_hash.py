"""Secret keys of entities, card numbers for one, replaced by a keyed hash before anything else sees them.

A pseudonym is a function of the digest an entity goes by in states, so that states can be given the same new keys.
"""

from __future__ import annotations

import base64
import hashlib
import re

import polars as pl

from models.behaviour.keys import key_digest

_BYTES = 20
#: Base 32 hardly ever has thirteen digits in a row, as hexadecimal has: a pseudonym is not taken for a card number.
_PSEUDONYM = re.compile(r"pn_[a-z2-7]{32}")
#: A card number as people write it: the same card whatever stands between the digits.
_GROUPED = re.compile(r"\s*[0-9](?:[ .\-\u00a0]{0,2}[0-9]){10,18}(?:\.0)?\s*")


class KeyHash:
    """Makes pseudonyms. Whoever has the secret can tell whether a known card belongs to one.

    Args:
        secret: at least 32 bytes.

    Attributes:
        fingerprint: of the secret: models and stores hold pseudonyms made under one of them.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret).digest()
        self.fingerprint = self.hash(b"key hash").hex()

    def of(self, value: str) -> str:
        """The pseudonym of an id; a pseudonym stays as it is, so that exported rows can be sent again."""
        return value if _PSEUDONYM.fullmatch(value) else self.of_digest(key_digest(value))

    def of_key(self, value: str) -> str:
        """The pseudonym of a key as a file or a request writes it, blanks and dashes of a card number aside."""
        if _GROUPED.fullmatch(value):
            value = re.sub(r"[^0-9]", "", value.strip().removesuffix(".0"))
        return self.of(value)

    def column(self, cells: pl.Series) -> pl.Series:
        """:meth:`of_key` of a text column."""
        values = cells.unique().drop_nulls()
        if values.is_empty():
            return cells
        hashed = pl.Series([self.of_key(value) for value in values], dtype=pl.String)
        return cells.replace_strict(values, hashed, return_dtype=pl.String)

    def of_digest(self, digest: bytes) -> str:
        """The pseudonym of the id with this digest."""
        return "pn_" + base64.b32encode(self.hash(digest)).decode().lower()

    def hash(self, data: bytes) -> bytes:
        """20 bytes of the data that tell nothing without the secret."""
        return hashlib.blake2b(data, digest_size=_BYTES, key=self._key).digest()
