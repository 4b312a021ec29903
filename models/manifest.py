"""The records of a bundle: manifest.json and golden.json, and the names of its files."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.calibration import Calibration
from models.reference import Reference
from models.rows import Batch, Vocabulary
from models.schema import TransactionSchema
from models.thresholds import Threshold

FORMAT: Literal["counterfoil-bundle"] = "counterfoil-bundle"
FORMAT_VERSION: Literal[2] = 2
MANIFEST, DETECTOR, GOLDEN, REPORT = "manifest.json", "detector.onnx", "golden.json", "report.html"
FILES = (DETECTOR, GOLDEN, MANIFEST, REPORT)
#: The states of cards and merchants after the last training row; only where the schema has behaviour features.
STATES = "states.npz"
GOLDEN_ROWS = 64
#: The graph's outputs that may rank transactions: that of the reconstruction, and with a second opinion that of both.
ERROR, EVIDENCE = "error", "evidence"
RANKED_WORDS = {ERROR: "reconstruction error", EVIDENCE: "evidence of both opinions"}
#: Relative to the error of the row: torch and ONNX Runtime, and any two machines, must agree to this.
GOLDEN_TOLERANCE = 1e-5


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Architecture(_Record):
    """Shape of the trained ensemble and how it was trained."""

    architecture: Literal["undercomplete", "overcomplete", "convolutional"]
    error: Literal["whitened", "euclidean"]
    inputs: int
    hidden: list[int]
    code_size: int
    members: int
    noise: float
    parameters: int
    steps: int
    #: Rows and columns that the inputs are; None but for a convolutional one.
    grid: list[int] | None = None


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


class SecondOpinionRecord(_Record):
    """How labels were used.

    Attributes:
        used: whether the second opinion serves; False: the gate refused it, or there was too little to make it from.
        why: in one sentence.
        fraud, legitimate: labelled rows of the train part that it was made from.
        novel_share: of any budget of alerts, for the first opinion.
        gate_rows, gate_fraud: labelled rows of the calibration part, which judged it.
        first, both: average precision there of the reconstruction error alone, and of both opinions.
    """

    used: bool
    why: str
    fraud: int
    legitimate: int
    novel_share: float
    gate_rows: int
    gate_fraud: int
    first: float
    both: float


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
    format_version: Literal[2]
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
    #: None: labels were not used.
    second_opinion: SecondOpinionRecord | None = None
    libraries: dict[str, str]
    files: dict[str, str]
    #: Distributions of the training rows; None in versions from before they were kept.
    reference: Reference | None = None
    #: Of the secret that the keys of the training's cards were hashed with; "" where none were.
    key_fingerprint: str = ""

    @property
    def ranked_by(self) -> str:
        """The graph's output that the calibration turns into the score."""
        return EVIDENCE if self.second_opinion is not None and self.second_opinion.used else ERROR

    def file_names(self) -> tuple[str, ...]:
        """The files that a version of this schema consists of."""
        return (*FILES, STATES) if self.transaction_schema.entity else FILES

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
    evidence: list[float] = []

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
    def of(batch: Batch, error: Any, contributions: Any, evidence: Any) -> Golden:
        """Record inputs and outputs; ``evidence`` is empty without a second opinion."""
        return Golden(
            numeric=[[None if math.isnan(cell) else cell for cell in row] for row in batch.numeric.tolist()],
            categorical=batch.categorical.tolist(),
            time=batch.time.tolist(),
            error=np.asarray(error).tolist(),
            contributions=np.asarray(contributions).tolist(),
            evidence=np.asarray(evidence).tolist(),
        )


def version_name(created: datetime, detector: bytes, threshold: Threshold) -> str:
    """A version's name: when it was made, and 8 hex digits of what decides: the network and the threshold."""
    return f"{created:%Y%m%dT%H%M%S}Z-{sha256(detector + threshold.model_dump_json().encode())[:8]}"


def sha256(data: bytes) -> str:
    """Hex digest of the bytes."""
    return hashlib.sha256(data).hexdigest()
