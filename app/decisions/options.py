"""The command line's options as what they ask for: the same filters as the API's, told by the option's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.decisions.query import checked_text, entity_filters, entity_key, read
from app.problems import Refused, name_or_withheld
from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from app.store.query import Filter
from models.behaviour.keys import EntityKey
from models.errors import InvalidInput
from models.schema import TransactionSchema
from models.times import moment

#: The section of the profile that --card is short for.
CARD = "card"


def filter_of(
    given: Mapping[str, str | None],
    entity: tuple[str, str] | None,
    schema: TransactionSchema,
    pseudonyms: Pseudonyms = NO_PSEUDONYMS,
) -> Filter:
    """The filter that options mean.

    Args:
        given: value by name of the API's parameter; None where the option was not given.
        entity: from :func:`named_entity`.
        pseudonyms: of the store.

    Raises:
        InvalidInput: naming the option.
    """
    pairs = [(name, text) for name, text in given.items() if text is not None]
    try:
        wanted = read(pairs, schema).filter
    except Refused as refused:
        (problem,) = refused.errors
        raise InvalidInput(f"--{problem.field.replace('_', '-')}: {problem.message}") from None
    if entity is None:
        return wanted
    return replace(wanted, entities=(key_of(*entity, schema, pseudonyms),))


def moment_of(text: str, option: str) -> int:
    """The moment that an option means, microseconds since 1970 UTC.

    Raises:
        InvalidInput: naming the option.
    """
    try:
        return moment(text)
    except ValueError:
        raise InvalidInput(f"{option}: expected a time, e.g. 2026-01-31T08:15:00Z, or a duration, e.g. 7d") from None


def named_entity(card: str | None, entity: str | None) -> tuple[str, str] | None:
    """The section and the id that ``--card ID`` or ``--entity NAME=ID`` mean; None where neither is given.

    Raises:
        InvalidInput: both are given, or it is not of that form.
    """
    if card is not None and entity is not None:
        raise InvalidInput("--card, --entity: name one of them; --card ID is short for --entity card=ID")
    if card is not None:
        return CARD, card
    if entity is None:
        return None
    name, separator, value = entity.partition("=")
    if not (name and separator and value):
        raise InvalidInput("--entity: expected NAME=ID, e.g. merchant=m-17")
    return name, value


def key_of(name: str, value: str, schema: TransactionSchema, pseudonyms: Pseudonyms = NO_PSEUDONYMS) -> EntityKey:
    """The key under which an entity's decisions are kept.

    Raises:
        InvalidInput: the schema has no such section, or the id cannot be one.
    """
    known = entity_filters(schema)
    if name not in known:
        listed = f"it has {', '.join(known)}" if known else "it has none, so decisions are not kept by entity"
        raise InvalidInput(f"--entity: this model's profile has no [entity.{name_or_withheld(name)}] section; {listed}")
    try:
        return entity_key(name, pseudonyms.stored(known[name], checked_text(value)))
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from None
