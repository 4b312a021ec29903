"""Card numbers as a card's key: hashed on reading, the same from every writing, and in nothing that comes out."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from app.pseudonyms import Pseudonyms
from models.annotate import WITHHELD, hashed_fields, withheld
from models.errors import InvalidInput, InvalidProfile
from models.key_hash import KeyHash
from models.parsing import parse_rows
from models.reading.objects import ObjectReader
from models.schema import TransactionSchema, parse_schema

SECRET = bytes(range(32))
CARD = "4111111111111111"
WRITTEN = (CARD, "4111 1111 1111 1111", "4111-1111-1111-1111", f" {CARD}", f"{CARD}.0")


def keyed(**fields: Any) -> TransactionSchema:
    columns = {"n": {"kind": "numeric"}, "cc_num": {"kind": "entity", "key_hash": True, **fields}}
    return parse_schema({"name": "cards", "columns": columns}, source="test")


def test_every_writing_of_a_card_number_has_one_pseudonym_in_tables_and_json() -> None:
    schema = keyed().with_keys(KeyHash(SECRET))
    parsed = parse_rows(schema, pl.DataFrame({"n": [1.0] * 5, "cc_num": WRITTEN}))
    assert not parsed.errors
    (pseudonym,) = set(parsed.entity["cc_num"])
    assert pseudonym.startswith("pn_") and CARD not in pseudonym
    for text in WRITTEN:
        row, problems = ObjectReader(schema).read({"n": 1.0, "cc_num": text})
        assert (row["cc_num"], problems) == (pseudonym, [])
    typed = parse_rows(schema, pl.DataFrame({"n": [1.0], "cc_num": [int(CARD)]}))
    assert set(typed.entity["cc_num"]) == {pseudonym}
    assert pseudonym == Pseudonyms(("cc_num",), SECRET).of(CARD)  # the store knows it by the same name
    assert pseudonym != KeyHash(bytes(32)).of_key(CARD)


def test_an_exported_pseudonym_stays_as_it_is() -> None:
    keys = KeyHash(SECRET)
    assert keys.of_key(keys.of_key(CARD)) == keys.of_key(CARD)


def test_without_the_secret_nothing_is_read() -> None:
    with pytest.raises(InvalidInput, match="COUNTERFOIL_PSEUDONYM_KEY_FILE"):
        parse_rows(keyed(), pl.DataFrame({"n": [1.0], "cc_num": [CARD]}))
    with pytest.raises(InvalidInput, match="key_hash"):
        ObjectReader(keyed())


def test_a_number_that_a_spreadsheet_has_rounded_is_refused() -> None:
    schema = keyed().with_keys(KeyHash(SECRET))
    (error,) = parse_rows(schema, pl.DataFrame({"n": [1.0], "cc_num": ["4.11111E+15"]})).errors
    assert "a spreadsheet has rounded this id" in error.cause and "4.1" not in error.cause.replace("4.11E+15", "")


def test_the_secret_is_in_no_copy_that_is_written() -> None:
    schema = keyed().with_keys(KeyHash(SECRET))
    assert SECRET.hex() not in schema.model_dump_json() + repr(schema)
    assert parse_schema(schema.model_dump(mode="json"), source="test") == keyed()
    assert schema.plain.hashed == ()


def test_the_keys_are_withheld_from_a_scored_table() -> None:
    frame = pl.DataFrame({"n": [1.0, 2.0], "cc_num": [CARD, None], "other": ["a", "b"]})
    shown = withheld(frame, hashed_fields(keyed()))
    assert shown["cc_num"].to_list() == [WITHHELD, None] and shown["other"].to_list() == ["a", "b"]
    assert withheld(pl.DataFrame({"cc_num": [1, 2]}), hashed_fields(keyed()))["cc_num"].to_list() == [None, None]


def test_a_key_is_hashed_or_holds_no_card_numbers_but_not_both() -> None:
    with pytest.raises(InvalidProfile, match="choose one"):
        keyed(no_card_numbers=True)


def test_a_column_that_is_said_to_hold_no_card_numbers_and_does_is_refused() -> None:
    columns = {"n": {"kind": "numeric"}, "cc_num": {"kind": "entity", "no_card_numbers": True}}
    schema = parse_schema({"name": "cards", "columns": columns}, source="test")
    errors = parse_rows(schema, pl.DataFrame({"n": [1.0] * 60, "cc_num": [CARD] * 60})).errors
    assert len(errors) == 60 and "key_hash" in errors[0].cause
    assert not parse_rows(schema, pl.DataFrame({"n": [1.0] * 3, "cc_num": [CARD] * 3})).errors
