"""Kinds of tables by their file names, and which files names, globs and folders mean."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from models.errors import InvalidInput

_TEXT = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")
#: What is read; text also compressed, or as the only table of a zip archive.
READ = (*(f"{kind}{packed}" for kind in _TEXT for packed in ("", ".gz", ".zst")), ".zip", ".parquet", ".xlsx")
WRITTEN = (".csv", ".csv.gz", ".csv.zst", ".parquet")
_TOLD = ".csv, .tsv, .txt, .jsonl, .ndjson, .json (each also .gz, .zst, or in a .zip), .parquet, .xlsx"


def table_kind(path: Path, *, written: bool = False) -> str:
    """The suffix of a table's file name, one of READ or of WRITTEN.

    Raises:
        InvalidInput: naming the file and the allowed suffixes.
    """
    known = WRITTEN if written else READ
    if suffix := _suffix(path.name, known):
        return suffix
    told = ", ".join(WRITTEN) if written else _TOLD
    raise InvalidInput(f"{path}: unknown kind of file; expected one of {told}")


def _suffix(name: str, known: Sequence[str]) -> str | None:
    lower = name.lower()
    return next((suffix for suffix in sorted(known, key=len, reverse=True) if lower.endswith(suffix)), None)


def member_kind(names: Sequence[str], source: str) -> tuple[str, str]:
    """The one table among the members of an archive, and its kind.

    Raises:
        InvalidInput: there is none, or more than one.
    """
    plain = [name for name in names if not Path(name).name.startswith(".") and "__MACOSX" not in name]
    tables = [name for name in plain if _suffix(name, _TEXT)]
    if len(tables) != 1:
        raise InvalidInput(
            f"{source}: holds {len(tables) or 'no'} tables ({', '.join(_TEXT)}); a .zip is read where it holds one: "
            "unpack it"
        )
    return tables[0], _suffix(tables[0], _TEXT) or ".csv"


def expand(patterns: list[str]) -> list[Path]:
    """The files that names, globs and folders mean; each glob and each folder's tables sorted.

    Raises:
        InvalidInput: naming a pattern that matches nothing, or a file of an unknown kind.
    """
    files: list[Path] = []
    for pattern in patterns:
        if Path(pattern).is_dir():
            files.extend(_tables_in(Path(pattern)))
            continue
        found = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - patterns may be absolute
        if not found:
            raise InvalidInput(f"{pattern}: no such file")
        files.extend(Path(name) for name in found)
    for file in files:
        table_kind(file)
        if not file.is_file():
            raise InvalidInput(f"{file}: not a file")
    return files


def _tables_in(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    tables = [path for path in found if _suffix(path.name, READ)]
    if not tables:
        raise InvalidInput(f"{folder}: the folder holds no tables; expected files of {_TOLD}")
    return tables
