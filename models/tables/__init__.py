"""Tables on disk: CSV, Parquet, JSON lines, Excel; read in chunks, and CSV and Parquet written."""

from models.tables.kinds import READ, WRITTEN, expand, table_kind
from models.tables.reader import TableReader
from models.tables.writer import csv_bytes, write_frames

__all__ = ["READ", "WRITTEN", "TableReader", "csv_bytes", "expand", "table_kind", "write_frames"]
