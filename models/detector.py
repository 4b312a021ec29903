"""FraudDetector: normalise -> reconstruct -> whitened residual -> error and contributions, as one graph.

Imported by ``training`` only; serving runs what :func:`export_onnx` wrote.
"""

from __future__ import annotations

import logging
import warnings

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.autoencoder import Autoencoder, AutoencoderConfig
from models.bundle import GRAPH_INPUTS, GRAPH_OUTPUTS
from models.normaliser import Layout, Normaliser
from models.rows import Batch


class FraudDetector(nn.Module):
    """The whole path from a transaction to its reconstruction error e = ½ (z − μ)ᵀ Σ⁻¹ (z − μ), z = x − x̂.

    With Σ = I and μ = 0 that is the plain loss ½‖x − x̂‖² (``error="euclidean"``). The ensemble's error is the mean over
    its members. Everything is float64 after training: one row and a batch then agree to about 1e-15.

    Attributes:
        mean: μ [K, 1, D] of the residuals.
        precision: Σ⁻¹ [K, D, D].
    """

    def __init__(self, layout: Layout, config: AutoencoderConfig, knot: float, generator: torch.Generator) -> None:
        super().__init__()
        self.normaliser = Normaliser(layout, knot, generator)
        self.autoencoder = Autoencoder(config, generator)
        members, width = config.members, config.inputs
        self.register_buffer("mean", torch.zeros(members, 1, width, dtype=torch.float64))
        self.register_buffer("precision", torch.eye(width, dtype=torch.float64).expand(members, width, width).clone())
        owners = torch.tensor(layout.owners())
        self.register_buffer("owner", torch.nn.functional.one_hot(owners).to(torch.float64))

    mean: Tensor
    precision: Tensor
    owner: Tensor

    def forward(self, numeric: Tensor, categorical: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score rows.

        Args:
            numeric: float64 [n, numeric features], NaN where missing.
            categorical: int64 [n, categorical features].
            time: int64 [n], microseconds.

        Returns:
            error [n] >= 0; contributions [n, features] that sum to it; expected values [n, features] in the
            user's units; code [n, c] of the first member.
        """
        x = self.normaliser(numeric, categorical, time)
        stacked = x.expand(self.autoencoder.config.members, -1, -1)
        code = self.autoencoder.encode(stacked)
        reconstruction = self.autoencoder.decode(code)
        residual = stacked - reconstruction - self.mean
        parts = (0.5 * residual * torch.matmul(residual, self.precision)).mean(0)
        contributions = torch.matmul(parts, self.owner)
        return contributions.sum(1), contributions, self.normaliser.expected(reconstruction.mean(0)), code[0]


def run_torch(detector: FraudDetector, batch: Batch) -> list[NDArray[np.float64]]:
    """The detector's outputs in torch, to compare with the exported graph's."""
    with torch.no_grad():
        outputs = detector(
            torch.from_numpy(batch.numeric), torch.from_numpy(batch.categorical), torch.from_numpy(batch.time)
        )
    return [output.numpy() for output in outputs]


def export_onnx(detector: FraudDetector) -> bytes:
    """The detector as one ONNX graph with a free number of rows.

    Names and notes that the exporter adds (module paths, source lines) are removed, so that the same weights give the
    same bytes and nothing of the training machine leaves it.
    """
    layout = detector.normaliser.layout
    # Two rows or more keep the exporter from taking the batch size for a constant.
    numeric = torch.zeros(3, layout.numeric, dtype=torch.float64)
    categorical = torch.zeros(3, len(layout.categories), dtype=torch.int64)
    time = torch.zeros(3, dtype=torch.int64)
    rows = torch.export.Dim("rows")
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)  # it warns of absent torchvision operators, which nothing here uses
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter itself
            program = torch.onnx.export(
                detector.eval(),
                (numeric, categorical, time),
                dynamo=True,
                dynamic_shapes=({0: rows}, {0: rows}, {0: rows}),
                input_names=list(GRAPH_INPUTS),
                output_names=list(GRAPH_OUTPUTS),
                verbose=False,
            )
    finally:
        exporter_log.setLevel(level)
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
