"""Profiles as TOML: those that come with the project, and those of files."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from models.behaviour.spec import RATIOS
from models.errors import InvalidProfile
from models.schema.numbers import AmountColumn
from models.schema.transaction import TransactionSchema, parse_schema


def shipped_profiles() -> list[str]:
    """Names of the profiles that come with the project."""
    folder = resources.files("models") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_schema(name_or_path: str) -> TransactionSchema:
    """Read a shipped profile by name, or a profile file by path.

    Raises:
        InvalidProfile: no such profile, unreadable TOML, or a wrong declaration.
    """
    if name_or_path in shipped_profiles():
        text = (resources.files("models") / "profiles" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise InvalidProfile(
                f"no profile '{name_or_path}': neither a file nor one of {', '.join(shipped_profiles())}"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidProfile(f"{name_or_path}: cannot be read as UTF-8 text: {type(error).__name__}") from None
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidProfile(f"{name_or_path}: not valid TOML: {error}") from None
    schema = parse_schema(body, source=name_or_path)
    refuse_signed_ratios(schema, name_or_path)
    return schema


def refuse_signed_ratios(schema: TransactionSchema, source: str) -> None:
    """Refuse what is allowed in the bundles of earlier versions: a ratio to a mean that may be zero or below.

    Raises:
        InvalidProfile: saying what to declare instead.
    """
    amount = schema.columns[schema.amount] if schema.amount else None
    if not isinstance(amount, AmountColumn) or amount.minimum is None or amount.minimum >= 0:
        return
    for name, behaviour in schema.entity.items():
        if behaviour.uses(*RATIOS):
            raise InvalidProfile(
                f"{source}: entity.{name}: a ratio to a mean says nothing where amounts may be below zero, since one "
                f"near zero makes it huge. A refund is a direction: give {schema.amount} absolute = true and minimum = "
                '0.0, and add a column such as direction = { kind = "categorical", derive = "direction" }'
            )
