"""A profile as TOML: one line for each column, tables included."""

from __future__ import annotations

import re
from typing import Any

import tomli_w


def profile_toml(body: dict[str, Any]) -> str:
    """A profile's content, as :func:`models.schema.parse_schema` takes it, in TOML."""
    rest = {name: value for name, value in body.items() if name != "columns"}
    lines = [_toml_line(name, fields) + "\n" for name, fields in body["columns"].items()]
    return "".join([tomli_w.dumps(rest), "[columns]\n", *lines])


def _toml_line(name: str, value: Any) -> str:
    """A key with its value on one line, tables included."""
    if not isinstance(value, dict):
        return re.sub(r"\n\s*", " ", tomli_w.dumps({name: value}).strip())
    key = tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
    return f"{key} = {{ {', '.join(_toml_line(*item) for item in value.items())} }}"
