"""How a table's file is written, beside what its columns mean: ``[file]`` in a profile."""

from __future__ import annotations

import codecs
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

ENCODINGS = ("utf-8", "latin-1", "cp1252", "iso8859-15", "utf-16", "gb18030", "cp932")


class FileForm(BaseModel):
    """What stands in a file beside its rows. Parquet needs none of it, JSON only the encoding.

    Attributes:
        encoding: of text. What is written is UTF-8.
        header_line: the line (the row of a sheet) that names the columns; what stands above it is not looked at.
        delimiter: between cells; empty where the header tells.
        skip: rows whose first cell begins with one of these, whatever the case, are none: ``Total``, ``Summe``.
        sheet: of a workbook, by name; the first by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    encoding: str = "utf-8"
    header_line: int = Field(default=1, ge=1, le=1_000)
    delimiter: str = Field(default="", pattern=r"^[,;\t|]?$")
    skip: tuple[str, ...] = Field(default=(), max_length=20)
    sheet: str = Field(default="", max_length=100)

    @field_validator("skip", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("skip")
    @classmethod
    def _words(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text.strip() for text in value):
            raise ValueError("skip names how the first cell begins; it cannot be blank")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        known = {codecs.lookup(name).name for name in ENCODINGS}
        try:
            found = codecs.lookup(value).name
        except LookupError:
            found = ""
        if found not in known:
            raise ValueError(f"encoding is one of {', '.join(ENCODINGS)}")
        return value


PLAIN_FILE = FileForm()
