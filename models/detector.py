"""FraudDetector: normalise -> reconstruct -> whitened residual -> error and contributions, as one graph.

Imported by ``training`` only; serving runs what :func:`export_onnx` wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.autoencoder import Autoencoder, AutoencoderConfig
from models.export import export
from models.graph_check import GRAPH_INPUTS, GRAPH_OUTPUTS
from models.manifest import EVIDENCE
from models.memory import Memory
from models.normaliser import Layout, Normaliser, tensors
from models.rows import Batch
from models.second_opinion import SecondOpinion
from models.singles import Singles


class Whitening(nn.Module):
    """Squared residuals in units of their usual spread: cᵢ = ½ zᵢ (Σ⁻¹ z)ᵢ with z = r − μ, summing to ½ zᵀ Σ⁻¹ z.

    Starts as Σ = I, μ = 0: then the sum is the plain loss ½‖x − x̂‖².

    Attributes:
        mean: μ [D].
        precision: Σ⁻¹ [D, D].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("precision", torch.eye(width, dtype=torch.float64))
        self.register_buffer("conditional", torch.zeros(width, width, dtype=torch.float64))

    mean: Tensor
    precision: Tensor
    conditional: Tensor

    def set(self, mean: Tensor, precision: Tensor, owner: Tensor) -> None:
        """Fill in μ and Σ⁻¹; ``owner`` [D, causes] says which columns belong to one cause."""
        self.mean.copy_(mean)
        self.precision.copy_(precision)
        for cause in range(owner.shape[1]):
            own = owner[:, cause].nonzero()[:, 0]
            rows = torch.linalg.solve(precision[own][:, own], precision[own])
            rows[:, own] = 0
            self.conditional[own] = rows

    def likeliest(self, x: Tensor, expected: Tensor) -> Tensor:
        """Where each cause's features would lie if only the others were known: [n, D], [n, D] -> [n, D].

        The minimum of ½ zᵀ Σ⁻¹ z over one cause's columns b, the reconstruction held: x̂ + μ − (Σ⁻¹_bb)⁻¹ Σ⁻¹_b· z.

        Args:
            expected: x̂ + μ.
        """
        return expected - torch.matmul(x - expected, self.conditional.T)

    def forward(self, z: Tensor) -> Tensor:
        """Contributions of z = x − (x̂ + μ): [..., n, D] -> [..., n, D]."""
        return z * torch.matmul(z, 0.5 * self.precision)


@dataclass(frozen=True)
class FirstOpinion:
    """What the reconstruction says of rows.

    Attributes:
        x: the ensemble's inputs [n, D]; ``expected``: x̂ + μ, its mean over the members, [n, D].
        error: [n] >= 0; ``contributions`` [n, features] sum to it.
        code: [n, c], of the first member.
    """

    x: Tensor
    error: Tensor
    contributions: Tensor
    expected: Tensor
    code: Tensor


class FraudDetector(nn.Module):
    """The whole path from a transaction to its reconstruction error and each feature's part in it.

    The error is that of the trained ensemble (mean over its members) plus that of the memory, each whitened by the
    covariance of its own residuals; ``singles`` raises it where single things are rare. Where labels were used,
    ``second`` is the second opinion, and the evidence of both ranks the rows in place of the error.
    Everything is float64 after training: one row and a batch agree to about 1e-15.

    Args:
        layout: where each feature lives in x.
        config: the ensemble's shape.
        knots: where the tail of x begins, for the ensemble and for the memory.
        slots: of the memory; 0 leaves the memory out.
        bends: of :class:`models.singles.Singles`; 0 leaves it out.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        layout: Layout,
        config: AutoencoderConfig,
        knots: tuple[float, float],
        slots: int,
        generator: torch.Generator,
        bends: int = 0,
    ) -> None:
        super().__init__()
        self.knots = knots
        self.normaliser = Normaliser(layout, knots[0], generator)
        self.autoencoder = Autoencoder(config, generator)
        self.whitening = Whitening(config.inputs)
        axes = max(1, min(config.code_size, config.inputs - 1))
        self.memory = Memory(config.inputs, axes, slots) if slots else None
        self.memory_whitening = Whitening(config.inputs)
        self.singles = Singles(config.inputs, bends) if bends else None
        self.second: SecondOpinion | None = None
        owners = torch.tensor(layout.owners())
        self.register_buffer("owner", torch.nn.functional.one_hot(owners).to(torch.float64))
        # Rows are added up by a product: a plain sum of an odd number of columns rounds by where a row lies in memory.
        self.register_buffer("ones", torch.ones(int(owners.max()) + 1, dtype=torch.float64))

    owner: Tensor
    ones: Tensor

    def forward(self, numeric: Tensor, categorical: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        """Score rows.

        Args:
            numeric: float64 [n, numeric features], NaN where missing.
            categorical: int64 [n, categorical features].
            time: int64 [n], microseconds.

        Returns:
            error [n] >= 0; contributions [n, features] that sum to it; expected values [n, features] in the
            user's units; code [n, c] of the first member; and, with a second opinion, the evidence [n] >= 0.
        """
        first = self.first(numeric, categorical, time)
        likeliest = self.whitening.likeliest(first.x, first.expected)
        expected = self.normaliser.to_units(likeliest, self.whitening.precision)
        outputs = first.error, first.contributions, expected, first.code
        if self.second is None:
            return outputs
        return *outputs, self.second(first.x, first.contributions, first.error, first.code)

    def look(self, batch: Batch) -> FirstOpinion:
        """:meth:`first` of encoded rows, with nothing to learn from it."""
        numeric, time = tensors(batch)
        with torch.no_grad():
            return self.first(numeric, torch.from_numpy(batch.categorical), time)

    def first(self, numeric: Tensor, categorical: Tensor, time: Tensor) -> FirstOpinion:
        """The reconstruction error of rows, and what else it leaves for a second opinion."""
        dense = self.normaliser.prepare(numeric, time)
        x = self.normaliser.embed(dense, categorical, self.knots[0])
        stacked = x.expand(self.autoencoder.config.members, -1, -1)
        code = self.autoencoder.encode(stacked)
        expected = self.autoencoder.decode(code) + self.whitening.mean
        parts = self.whitening(stacked - expected).mean(0)
        if self.memory is not None:
            remembered = self.normaliser.embed(dense, categorical, self.knots[1])
            z = remembered - (self.memory(remembered) + self.memory_whitening.mean)
            parts = parts + self.memory_whitening(z)
        if self.singles is not None:
            parts = self.singles(x, parts)
        contributions = torch.matmul(parts, self.owner)
        error = torch.matmul(contributions, self.ones)
        return FirstOpinion(x, error, contributions, expected.mean(0), code[0])


def run_torch(detector: FraudDetector, batch: Batch) -> list[NDArray[np.float64]]:
    """The detector's outputs in torch, to compare with the exported graph's."""
    with torch.no_grad():
        outputs = detector(
            torch.from_numpy(batch.numeric), torch.from_numpy(batch.categorical), torch.from_numpy(batch.time)
        )
    return [output.numpy() for output in outputs]


def export_onnx(detector: FraudDetector) -> bytes:
    """The detector as one ONNX graph with a free number of rows."""
    layout = detector.normaliser.layout
    examples = (
        torch.zeros(3, layout.numeric, dtype=torch.float64),
        torch.zeros(3, len(layout.categories), dtype=torch.int64),
        torch.zeros(3, dtype=torch.int64),
    )
    outputs = [*GRAPH_OUTPUTS, *([EVIDENCE] if detector.second else [])]
    return export(detector.eval(), dict(zip(GRAPH_INPUTS, examples, strict=True)), outputs)
