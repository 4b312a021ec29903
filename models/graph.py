"""Graph: an exported detector in ONNX Runtime, which computes what is asked of it and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx.utils
import onnxruntime as ort
from numpy.typing import NDArray

from models.errors import InvalidBundle
from models.manifest import DETECTOR, ERROR, EVIDENCE
from models.rows import Batch

#: Rows per run of the graph: its intermediate arrays then stay in the processor's cache.
BLOCK_ROWS = 256
#: Runs are filled up to a multiple of this many rows. ONNX Runtime multiplies matrices in tiles of rows and takes what
#: is left over in another order: without this a row's last digits would depend on the company it is scored in.
ROW_TILE = 4
#: Outputs that are asked for together. ONNX Runtime computes all of a graph whatever is asked of it, so each of these
#: sets has a session of its own with the part of the graph that it needs.
HEADS = (
    frozenset((ERROR, EVIDENCE, "contributions")),
    frozenset(("expected",)),
)


class Graph:
    """An exported detector, run in blocks of rows. Thread-safe.

    Args:
        detector: bytes of the ONNX graph, in float64 or in float32; what goes in and comes out is float64.
        threads: blocks run at the same time; a batch of one block always takes one.

    Raises:
        InvalidBundle: ONNX Runtime refuses the graph.
    """

    def __init__(self, detector: bytes, *, threads: int = 1) -> None:
        self.threads = threads
        self._detector = detector
        self._whole = _session(detector)
        self._numbers = np.float32 if self._whole.get_inputs()[0].type == "tensor(float)" else np.float64
        self._heads: dict[frozenset[str], Any] = {}

    def run(self, batch: Batch, *outputs: str) -> list[NDArray[np.float64]]:
        """The named outputs for a batch of any size, in the order of the names."""
        if len(batch) <= BLOCK_ROWS:
            return self._run_block(batch, outputs)
        blocks = _blocks(batch)
        if self.threads == 1:
            parts = [self._run_block(block, outputs) for block in blocks]
        else:
            with ThreadPoolExecutor(self.threads) as pool:  # the session releases the GIL
                parts = list(pool.map(lambda block: self._run_block(block, outputs), blocks))
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def _run_block(self, block: Batch, outputs: tuple[str, ...]) -> list[NDArray[np.float64]]:
        rows = len(block)
        numeric = block.numeric.astype(self._numbers, copy=False)
        feeds = {"numeric": numeric, "categorical": block.categorical, "time": block.time}
        if rows % ROW_TILE:
            feeds = {name: _filled_up(part) for name, part in feeds.items()}
        result = self._session_for(outputs).run(outputs, feeds)
        return [output[:rows].astype(np.float64, copy=False) for output in result]

    def _session_for(self, outputs: tuple[str, ...]) -> Any:
        for head in HEADS:
            if head.issuperset(outputs):
                if head not in self._heads:
                    self._heads[head] = _session(part_of(self._detector, head))
                return self._heads[head]
        return self._whole


def _filled_up(part: NDArray[Any]) -> NDArray[Any]:
    """With the last row again and again; NumPy's fancy indexing would take a fifth of a small model's time."""
    rows = len(part)
    filled = np.empty((rows + -rows % ROW_TILE, *part.shape[1:]), part.dtype)
    filled[:] = part[-1:]
    filled[:rows] = part
    return filled


def _session(graph: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures are reported below, with the file and the check
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's exceptions share no documented base
        raise InvalidBundle(DETECTOR, "loads", f"ONNX Runtime refuses it: {type(error).__name__}") from None


def part_of(graph: bytes, outputs: frozenset[str]) -> bytes:
    """What of a graph these outputs need, as a graph of the same inputs."""
    model = onnx.load_model_from_string(graph)
    names = [output.name for output in model.graph.output if output.name in outputs]
    part = onnx.utils.Extractor(model).extract_model([put.name for put in model.graph.input], names)
    return bytes(part.SerializeToString())


def _blocks(batch: Batch) -> Iterator[Batch]:
    for start in range(0, len(batch), BLOCK_ROWS):
        yield batch.take(slice(start, start + BLOCK_ROWS))
