"""The artifact on disk: one folder per model version, verified before anything in it is used.

``docs/bundle.md`` describes the format byte by byte.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import InvalidBundle
from models.graph_check import check_graph
from models.manifest import DETECTOR, FILES, GOLDEN, GOLDEN_ROWS, MANIFEST, Golden, Manifest, sha256

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
    contents = _read_files(path)
    manifest = _parse(Manifest, MANIFEST, contents[MANIFEST])
    for name in FILES:
        if name == MANIFEST:
            continue
        if manifest.files.get(name) != sha256(contents[name]):
            raise InvalidBundle(name, "sha256", "the content is not what the manifest recorded; restore the version")
    if set(manifest.files) != set(FILES) - {MANIFEST}:
        raise InvalidBundle(MANIFEST, "files", f"must list exactly {', '.join(sorted(set(FILES) - {MANIFEST}))}")
    if len(manifest.transaction_schema.categorical) != len(manifest.vocabulary):
        raise InvalidBundle(MANIFEST, "vocabulary", "must have one list per categorical column of the schema")
    check_graph(contents[DETECTOR])
    golden = _parse(Golden, GOLDEN, contents[GOLDEN])
    _check_golden_shape(golden, manifest)
    return Bundle(path, manifest, contents[DETECTOR], golden)


def _read_files(path: Path) -> dict[str, bytes]:
    try:
        if path.is_symlink() or not path.is_dir():
            raise InvalidBundle(path.name, "folder", "must be a folder, not a file or a link")
        entries = {entry.name: entry for entry in path.iterdir()}
        for name in sorted(entries):
            if name not in FILES:
                raise InvalidBundle(name, "extra file", f"a version holds only {', '.join(FILES)}")
        contents = {}
        for name in FILES:
            if name not in entries:
                raise InvalidBundle(name, "missing file", "the version is incomplete; restore or retrain it")
            status = entries[name].lstat()
            if not stat.S_ISREG(status.st_mode):
                raise InvalidBundle(name, "regular file", "links, folders and devices are not allowed")
            if status.st_size > _MAX_BYTES:
                raise InvalidBundle(name, "size", f"larger than {_MAX_BYTES >> 20} MiB")
            contents[name] = entries[name].read_bytes()
        return contents
    except OSError as error:
        raise InvalidBundle(path.name, "readable", error.strerror or type(error).__name__) from None


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
    for table, width in widths:
        if len(table) != rows or any(len(row) != width for row in table):
            raise InvalidBundle(GOLDEN, "shape", "the rows do not fit the schema")
