"""Tables on disk: CSV, Parquet, JSON lines, Excel; read in chunks, and CSV and Parquet written."""

from models.tables.kinds import READ, WRITTEN, expand, table_kind
from models.tables.reader import TableReader
from models.tables.writer import csv_bytes, widened_lines, write_frames, write_pieces

__all__ = [
    "READ",
    "WRITTEN",
    "TableReader",
    "csv_bytes",
    "expand",
    "table_kind",
    "widened_lines",
    "write_frames",
    "write_pieces",
]
