"""What a profile declares.

One declaration drives training, the API's request model, its OpenAPI page and the table reader. It is written as a TOML
profile (``models/profiles/*.toml`` are the shipped ones) and travels inside every bundle.
"""

from models.schema.base import FLOAT32_MAX, names_verification_value
from models.schema.columns import (
    CategoricalColumn,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    IgnoreColumn,
    LabelColumn,
    ScenarioColumn,
    TextColumn,
)
from models.schema.file_form import PLAIN_FILE, FileForm
from models.schema.files import load_schema, refuse_signed_ratios, shipped_profiles
from models.schema.numbers import AmountColumn, NumericColumn
from models.schema.times import Cycle, LabelTimestampColumn, TimeColumn, TimestampColumn
from models.schema.transaction import MAX_COLUMNS, PLAIN, Column, TransactionSchema, parse_schema

__all__ = [
    "FLOAT32_MAX",
    "MAX_COLUMNS",
    "PLAIN",
    "PLAIN_FILE",
    "AmountColumn",
    "CategoricalColumn",
    "Column",
    "CurrencyColumn",
    "Cycle",
    "EntityColumn",
    "FileForm",
    "IdColumn",
    "IgnoreColumn",
    "LabelColumn",
    "LabelTimestampColumn",
    "NumericColumn",
    "ScenarioColumn",
    "TextColumn",
    "TimeColumn",
    "TimestampColumn",
    "TransactionSchema",
    "load_schema",
    "names_verification_value",
    "parse_schema",
    "refuse_signed_ratios",
    "shipped_profiles",
]
