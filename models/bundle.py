"""The artifact on disk: one folder per model version, verified before anything in it is used.

``docs/bundle.md`` describes the format byte by byte.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import InvalidBundle
from models.graph_check import check_graph
from models.manifest import DETECTOR, EVIDENCE, FILES, GOLDEN, GOLDEN_ROWS, MANIFEST, STATES, Golden, Manifest, sha256

_MAX_BYTES = 512 << 20
_R = TypeVar("_R", bound=BaseModel)


class Bundle:
    """A version read from disk whose files passed every check but the golden rows.

    The golden rows need the running network: :class:`models.scorer.Scorer` replays them.

    Attributes:
        path: the version's folder.
        manifest: the parsed manifest.
        detector: bytes of the ONNX graph.
        golden: rows to replay.
    """

    def __init__(self, path: Path, manifest: Manifest, detector: bytes, golden: Golden) -> None:
        self.path = path
        self.manifest = manifest
        self.detector = detector
        self.golden = golden


def read_manifest(path: Path) -> Manifest:
    """The manifest of a version's folder alone, to show; nothing else in the folder is verified.

    Raises:
        InvalidBundle: it cannot be read, or its content is wrong.
    """
    try:
        return _parse(Manifest, MANIFEST, (path / MANIFEST).read_bytes())
    except OSError as error:
        raise InvalidBundle(MANIFEST, "readable", error.strerror or type(error).__name__) from None


def load_bundle(path: Path) -> Bundle:
    """Read and verify a version's folder.

    Raises:
        InvalidBundle: naming the file and the check that failed.
    """
    entries = _entries(path)
    contents = {name: _content(entries, name) for name in FILES}
    manifest = _parse(Manifest, MANIFEST, contents[MANIFEST])
    names = manifest.file_names()
    _only(entries, names)
    for name in names:
        if name == MANIFEST:
            continue
        found = _digest(entries, name) if name == STATES else sha256(contents[name])
        if manifest.files.get(name) != found:
            raise InvalidBundle(name, "sha256", "the content is not what the manifest recorded; restore the version")
    if set(manifest.files) != set(names) - {MANIFEST}:
        raise InvalidBundle(MANIFEST, "files", f"must list exactly {', '.join(sorted(set(names) - {MANIFEST}))}")
    if len(manifest.transaction_schema.categorical) != len(manifest.vocabulary):
        raise InvalidBundle(MANIFEST, "vocabulary", "must have one list per categorical column of the schema")
    check_graph(contents[DETECTOR], manifest.ranked_by)
    golden = _parse(Golden, GOLDEN, contents[GOLDEN])
    _check_golden_shape(golden, manifest)
    return Bundle(path, manifest, contents[DETECTOR], golden)


def read_states(path: Path) -> bytes | None:
    """The snapshot of states in a version's folder, None where its schema has no behaviour features.

    Raises:
        InvalidBundle: it is not what the manifest recorded.
    """
    manifest = read_manifest(path)
    if STATES not in manifest.file_names():
        return None
    try:
        content = (path / STATES).read_bytes()
    except OSError as error:
        raise InvalidBundle(STATES, "readable", error.strerror or type(error).__name__) from None
    if manifest.files.get(STATES) != sha256(content):
        raise InvalidBundle(STATES, "sha256", "the content is not what the manifest recorded; restore the version")
    return content


def _entries(path: Path) -> dict[str, Path]:
    """The files of a folder, every name known and every one a regular file."""
    try:
        if path.is_symlink() or not path.is_dir():
            raise InvalidBundle(path.name, "folder", "must be a folder, not a file or a link")
        entries = {entry.name: entry for entry in path.iterdir()}
        _only(entries, (*FILES, STATES))
        for name in FILES:
            if name not in entries:
                raise InvalidBundle(name, "missing file", "the version is incomplete; restore or retrain it")
        for name, entry in entries.items():
            if not stat.S_ISREG(entry.lstat().st_mode):
                raise InvalidBundle(name, "regular file", "links, folders and devices are not allowed")
    except OSError as error:
        raise InvalidBundle(path.name, "readable", error.strerror or type(error).__name__) from None
    return entries


def _only(entries: dict[str, Path], names: tuple[str, ...]) -> None:
    for name in sorted(entries):
        if name not in names:
            raise InvalidBundle(name, "extra file", f"a version holds only {', '.join(names)}")


def _content(entries: dict[str, Path], name: str) -> bytes:
    try:
        if entries[name].stat().st_size > _MAX_BYTES:
            raise InvalidBundle(name, "size", f"larger than {_MAX_BYTES >> 20} MiB")
        return entries[name].read_bytes()
    except OSError as error:
        raise InvalidBundle(name, "readable", error.strerror or type(error).__name__) from None


def _digest(entries: dict[str, Path], name: str) -> str:
    """SHA-256 of a file that may be large and is not needed in memory."""
    if name not in entries:
        raise InvalidBundle(name, "missing file", "the version is incomplete; restore or retrain it")
    try:
        with entries[name].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidBundle(name, "readable", error.strerror or type(error).__name__) from None


def _parse(kind: type[_R], name: str, data: bytes) -> _R:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        check = "format" if where in ("format", "format_version") else "content"
        raise InvalidBundle(name, check, f"{where}: {first['msg']}") from None


def _check_golden_shape(golden: Golden, manifest: Manifest) -> None:
    schema = manifest.transaction_schema
    rows = len(golden.time)
    widths = (
        (golden.numeric, len(schema.numeric)),
        (golden.categorical, len(schema.categorical)),
        (golden.contributions, len(schema.features)),
    )
    if rows < GOLDEN_ROWS or len(golden.error) != rows:
        raise InvalidBundle(GOLDEN, "rows", f"at least {GOLDEN_ROWS} rows with one error each are required")
    if len(golden.evidence) != (rows if manifest.ranked_by == EVIDENCE else 0):
        raise InvalidBundle(GOLDEN, "rows", "each needs its evidence where there is a second opinion, and none else")
    for table, width in widths:
        if len(table) != rows or any(len(row) != width for row in table):
            raise InvalidBundle(GOLDEN, "shape", "the rows do not fit the schema")
