"""A file of rules: TOML, read strictly. What its conditions say is checked by :mod:`app.rules.conditions`."""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models.errors import InvalidInput
from models.pan import contains_card_number
from models.thresholds import Decision

MOST_RULES, LONGEST = 500, 4_000
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")
_NAMED = "1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"


class Rule(BaseModel):
    """One rule.

    Attributes:
        name: unique in its file; decisions name the rules that they follow.
        when: a condition in CEL.
        outcome: what it asks for where the condition holds.
        note: why it is there.
    """

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    when: str = Field(min_length=1, max_length=LONGEST)
    outcome: Decision
    note: str = Field(default="", max_length=500)


class _File(BaseModel):
    model_config = _STRICT

    format: Literal[1]
    rule: Annotated[tuple[Rule, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]


@dataclass(frozen=True, slots=True)
class Document:
    """Rules as they are written.

    Attributes:
        source: where they come from, for messages.
        text: TOML; ``version``: its digest.
    """

    source: str
    text: str
    version: str
    rules: tuple[Rule, ...]


def parse(text: str, source: str) -> Document:
    """Rules as TOML.

    Raises:
        InvalidInput: naming the source, the rule and what was expected.
    """
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{source}: not TOML: {error}") from None
    if contains_card_number(text):
        raise InvalidInput(f"{source}: holds what looks like a card number; put cards on a list: counterfoil lists add")
    try:
        rules = _File.model_validate(body).rule
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInput(f"{source}: {_told(body, first['loc'], first['type'], first['msg'])}") from None
    if not 0 < len(rules) <= MOST_RULES:
        raise InvalidInput(f"{source}: expected 1 to {MOST_RULES} rules, each under [[rule]]; found {len(rules)}")
    name, times = Counter(rule.name for rule in rules).most_common(1)[0]
    if times > 1:
        raise InvalidInput(f"{source}: rule {name}: {times} rules have this name; each has one of its own")
    return Document(source, text, hashlib.sha256(text.encode()).hexdigest()[:12], rules)


def _told(body: dict[str, Any], where: tuple[int | str, ...], kind: str, message: str) -> str:
    """What is wrong, and in which rule: by its name where it has one, else by its place."""
    expected = {"missing": "is missing", "extra_forbidden": "there is no such key"}.get(kind, message)
    if len(where) < 2 or where[0] != "rule":
        if where[:1] == ("format",):
            return "format: expected format = 1, above the first [[rule]]"
        return f"{'.'.join(map(str, where))}: {expected}"
    place = int(where[1])
    rule = body["rule"][place]
    name = rule.get("name") if isinstance(rule, dict) else None
    which = f"rule {name}" if isinstance(name, str) and where[2:] != ("name",) else f"rule number {place + 1}"
    if where[2:] == ("name",) and kind != "missing":
        expected = f"expected {_NAMED}"
    return f"{which}: {'.'.join(map(str, where[2:]))}: {expected}"
