"""One sheet of an Excel workbook as text cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from models.csv_stream import Chunk
from models.errors import InvalidInput
from models.schema.file_form import FileForm

_INSTALL = "reading .xlsx needs the package fastexcel: pip install 'counterfoil[excel]'"


def read_sheet(path: Path, form: FileForm) -> Chunk:
    """All rows of a sheet below its header. Held in memory; a sheet has at most 1,048,576 rows.

    Raises:
        InvalidInput: no workbook, no such sheet, an unusable header, or the package that reads them is missing.
    """
    try:
        import fastexcel  # noqa: PLC0415 - an extra, and only here
    except ImportError:
        raise InvalidInput(f"{path}: {_INSTALL}") from None
    try:
        book = fastexcel.read_excel(path)
        if form.sheet and form.sheet not in book.sheet_names:
            raise InvalidInput(f"{path}: no sheet of the name that the profile's [file] gives")
        sheet = book.load_sheet(form.sheet or 0, header_row=None, dtypes="string")
        frame = sheet.to_polars()
    except fastexcel.FastExcelError:
        raise InvalidInput(f"{path}: not a readable Excel workbook") from None
    if frame.height < form.header_line:
        raise InvalidInput(f"{path}: the sheet has no row {form.header_line} to be the header")
    header = ["" if name is None else name.strip() for name in frame.row(form.header_line - 1)]
    while header and not header[-1]:
        header.pop()
    if not any(header):
        raise InvalidInput(f"{path}: row {form.header_line}: the header is blank; expected column names")
    if len(set(header)) < len(header):
        raise InvalidInput(f"{path}: row {form.header_line}: two columns have one name; is it the header?")
    body = frame[form.header_line :, : len(header)]
    body.columns = header
    text = body.select(pl.all().replace("", None))
    return Chunk(text, np.arange(form.header_line + 1, form.header_line + 1 + text.height))
