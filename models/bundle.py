"""The artifact on disk: one folder per model version, verified before anything in it is used.

``docs/bundle.md`` describes the format byte by byte.
"""

from __future__ import annotations

import hashlib
import math
import stat
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import onnx
from onnx import numpy_helper
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.calibration import Calibration
from models.errors import InvalidBundle
from models.rows import Batch, Vocabulary
from models.schema import TransactionSchema
from models.thresholds import Threshold

FORMAT: Literal["counterfoil-bundle"] = "counterfoil-bundle"
FORMAT_VERSION: Literal[1] = 1
MANIFEST, DETECTOR, GOLDEN, REPORT = "manifest.json", "detector.onnx", "golden.json", "report.html"
FILES = (DETECTOR, GOLDEN, MANIFEST, REPORT)
GOLDEN_ROWS = 64
#: Relative to the error of the row: torch and ONNX Runtime, and any two machines, must agree to this.
GOLDEN_TOLERANCE = 1e-5
_MAX_BYTES = 512 << 20
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
_STANDARD_DOMAINS = {"", "ai.onnx"}
GRAPH_INPUTS = ("numeric", "categorical", "time")
GRAPH_OUTPUTS = ("error", "contributions", "expected", "code")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_R = TypeVar("_R", bound=_Record)


class Architecture(_Record):
    """Shape of the trained ensemble and how it was trained."""

    architecture: Literal["undercomplete", "overcomplete"]
    error: Literal["whitened", "euclidean"]
    inputs: int
    hidden: list[int]
    code_size: int
    members: int
    noise: float
    parameters: int
    steps: int


class Part(_Record):
    """One of the consecutive parts of the data: train, calibration, test.

    Attributes:
        rows: rows in the part.
        fraud: of these, labelled fraud (not used for fitting).
        unlabelled: of these, without a known label.
        start, end: first and last timestamp (ISO 8601, or seconds for an elapsed time); None without timestamps.
    """

    rows: int
    fraud: int
    unlabelled: int
    start: str | None
    end: str | None


class TrainingRecord(_Record):
    """What a version was trained on.

    Attributes:
        fingerprint: SHA-256 over the parsed rows in order, so the same data has the same one whatever its file.
        left_out: rows used for nothing, by reason.
    """

    fingerprint: str
    rows: int
    seed: int
    label_delay: str
    train: Part
    calibration: Part
    test: Part
    left_out: dict[str, int]


class PolicyInputs(_Record):
    """What a threshold policy needs beside the calibration, kept so that it can be applied again without the data.

    Attributes:
        per_day: legitimate transactions a day in the training part; None without timestamps.
        fraud_error: reconstruction errors of the calibration part's fraud rows.
        fraud_amount: their amounts, 0 where missing; None without an amount column.
    """

    per_day: float | None
    fraud_error: list[float]
    fraud_amount: list[float] | None


class Metrics(_Record):
    """Detection on one part of the data. Ranking and label metrics are None where a class is missing.

    After ``counterfoil threshold`` everything that depends on the threshold is None: that threshold was not measured.

    Attributes:
        part: which rows: "test" for the consecutive last part, or the name of an evaluated file.
        rows: rows scored, with known label where ``fraud`` is not None.
        fraud: fraud rows, None without labels.
        prevalence: fraud / rows.
        roc_auc, average_precision: ranking by score, in [0, 1].
        alert_rate: share of rows with score >= threshold.
        alert_rate_legitimate: the same among legitimate rows: the false-positive rate.
        precision, recall: at the threshold, for fraud.
    """

    part: str
    rows: int
    fraud: int | None
    prevalence: float | None
    roc_auc: float | None
    average_precision: float | None
    threshold: float
    alert_rate: float | None
    alert_rate_legitimate: float | None
    precision: float | None
    recall: float | None


class Manifest(_Record):
    """``manifest.json``: everything about a version except the network itself."""

    format: Literal["counterfoil-bundle"]
    format_version: Literal[1]
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$")
    created_at: str
    transaction_schema: TransactionSchema
    vocabulary: list[list[str]]
    calibration: Calibration
    threshold: Threshold
    policy_inputs: PolicyInputs
    architecture: Architecture
    training: TrainingRecord
    metrics: Metrics
    libraries: dict[str, str]
    files: dict[str, str]

    def vocabulary_codes(self) -> Vocabulary:
        """The categorical values as the encoder wants them."""
        return Vocabulary(tuple(tuple(values) for values in self.vocabulary))


class Golden(_Record):
    """``golden.json``: input rows with the outputs they must give. No row is a real transaction."""

    numeric: list[list[float | None]]
    categorical: list[list[int]]
    time: list[int]
    error: list[float]
    contributions: list[list[float]]

    def batch(self) -> Batch:
        """The inputs, None as NaN."""
        rows = len(self.time)
        numeric = [[math.nan if cell is None else cell for cell in row] for row in self.numeric]
        return Batch(
            np.array(numeric, dtype=np.float64).reshape(rows, -1),
            np.array(self.categorical, dtype=np.int64).reshape(rows, -1),
            np.array(self.time, dtype=np.int64),
        )

    @staticmethod
    def of(batch: Batch, error: Any, contributions: Any) -> Golden:
        """Record inputs and outputs."""
        return Golden(
            numeric=[[None if math.isnan(cell) else cell for cell in row] for row in batch.numeric.tolist()],
            categorical=batch.categorical.tolist(),
            time=batch.time.tolist(),
            error=np.asarray(error).tolist(),
            contributions=np.asarray(contributions).tolist(),
        )


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


def version_name(created: datetime, detector: bytes, threshold: Threshold) -> str:
    """A version's name: when it was made, and 8 hex digits of what decides: the network and the threshold."""
    return f"{created:%Y%m%dT%H%M%S}Z-{sha256(detector + threshold.model_dump_json().encode())[:8]}"


def sha256(data: bytes) -> str:
    """Hex digest of the bytes."""
    return hashlib.sha256(data).hexdigest()


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


def check_graph(data: bytes) -> None:
    """Refuse a graph that could do more than arithmetic on its inputs.

    Raises:
        InvalidBundle: not ONNX, external data, a non-standard operator domain, a non-finite weight, or other inputs
            and outputs than a detector has.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # noqa: BLE001 - protobuf raises its own, undocumented types
        raise InvalidBundle(DETECTOR, "onnx", f"not an ONNX model ({type(error).__name__})") from None
    if model.functions:
        raise InvalidBundle(DETECTOR, "operator domain", "local functions are not allowed")
    domains = {entry.domain for entry in model.opset_import}
    _check_nodes(model.graph, domains)
    if foreign := domains - _STANDARD_DOMAINS:
        raise InvalidBundle(DETECTOR, "operator domain", f"{len(foreign)} non-standard operator domain(s)")
    if tuple(i.name for i in model.graph.input) != GRAPH_INPUTS:
        raise InvalidBundle(DETECTOR, "inputs", f"must be {', '.join(GRAPH_INPUTS)}")
    if tuple(o.name for o in model.graph.output) != GRAPH_OUTPUTS:
        raise InvalidBundle(DETECTOR, "outputs", f"must be {', '.join(GRAPH_OUTPUTS)}")


def _check_nodes(graph: onnx.GraphProto, domains: set[str]) -> None:
    _check_tensors(graph.initializer)
    if graph.sparse_initializer:
        raise InvalidBundle(DETECTOR, "weights", "sparse weights are not allowed")
    for node in graph.node:
        domains.add(node.domain)
        for attribute in node.attribute:
            if not np.isfinite([attribute.f, *attribute.floats]).all():
                raise InvalidBundle(DETECTOR, "finite", "a constant is NaN or infinite")
            _check_tensors([*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors])
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                _check_nodes(inner, domains)


def _check_tensors(tensors: Any) -> None:
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise InvalidBundle(DETECTOR, "external data", "weights outside the file are not allowed")
        if tensor.data_type in _FLOATS and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise InvalidBundle(DETECTOR, "finite", "a weight is NaN or infinite")
