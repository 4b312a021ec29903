"""Normaliser: transactions to the detector's input space x, and reconstructions back to the user's units.

Columns of x, in order: one per numeric feature, one indicator per nullable numeric feature, sine and cosine per
cycle, then per categorical feature its surprise -log p and its learned embedding. Imported by ``training`` only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.forms.time_patterns import DAY
from models.rows import Batch, Vocabulary
from models.schema import FLOAT32_MAX, TransactionSchema
from models.times import EPOCH_WEEKDAY

#: A change of a feature below this share of its typical size is never news.
RESOLUTION = 1e-3
#: The same for categories: noise allowed to each column of an embedding, whose variance is about 1.
_CATEGORY_RESOLUTION = 0.1
#: Keeps the rare values of a nearly constant category at a few units from the common one.
_TABLE_FLOOR = 0.05
_MAX_EMBEDDING = 6
#: A feature that leaves its median on a smaller share of the rows does not do so regularly.
_REGULAR = 1e-3
_DEPARTURE_ROWS = 200_000
#: From here on a ``late-log`` feature grows logarithmically.
LATE = 5.0


@dataclass(frozen=True)
class Layout:
    """Where each feature lives in x.

    Attributes:
        numeric: numeric features.
        log: which of them are compressed to sign(x) log(1 + |x|) first.
        nullable: positions of the numeric features that may be missing.
        cycles: period in microseconds and offset in days per cycle.
        categories: number of known values per categorical feature.
        late: which of the numeric features are compressed beyond :data:`LATE` first; empty: none.
        alike: which cause each feature belongs to, e.g. one for the windows of one word; empty: each its own.
    """

    numeric: int
    log: tuple[bool, ...]
    nullable: tuple[int, ...]
    cycles: tuple[tuple[int, int], ...]
    categories: tuple[int, ...]
    late: tuple[bool, ...] = ()
    alike: tuple[int, ...] = ()

    @staticmethod
    def of(schema: TransactionSchema, vocabulary: Vocabulary) -> Layout:
        """The layout of a schema's features."""
        columns = [schema.numeric_column(name) for name in schema.numeric]
        periods = {"hour": (DAY, 0), "weekday": (7 * DAY, EPOCH_WEEKDAY)}
        return Layout(
            numeric=len(columns),
            log=tuple(column.transform == "signed-log" for column in columns),
            nullable=tuple(i for i, column in enumerate(columns) if column.nullable),
            cycles=tuple(periods[cycle] for cycle in schema.cycles),
            categories=tuple(len(values) for values in vocabulary.values),
            late=tuple(column.transform == "late-log" for column in columns),
            alike=schema.causes if schema.behaviour else (),
        )

    @property
    def dense(self) -> int:
        """Columns of x before the categorical ones."""
        return self.numeric + len(self.nullable) + 2 * len(self.cycles)

    @property
    def embeddings(self) -> tuple[int, ...]:
        """Embedding width per categorical feature: about log2 of its number of values."""
        return tuple(max(1, min(_MAX_EMBEDDING, math.ceil(math.log2(k + 1)))) for k in self.categories)

    @property
    def width(self) -> int:
        """D, the columns of x."""
        return self.dense + sum(1 + width for width in self.embeddings)

    @property
    def causes(self) -> tuple[int, ...]:
        """The cause of each feature, counted from 0."""
        return self.alike or tuple(range(self.numeric + len(self.categories) + len(self.cycles)))

    def owners(self) -> list[int]:
        """For each column of x, the position of the feature it belongs to."""
        cycles_at = self.numeric + len(self.categories)
        owners = [*range(self.numeric), *self.nullable]
        owners += [cycles_at + c for c in range(len(self.cycles)) for _ in range(2)]
        for c, width in enumerate(self.embeddings):
            owners += [self.numeric + c] * (1 + width)
        return owners


class Normaliser(nn.Module):
    """Fixed scaling fitted on the training rows, and embeddings that training learns.

    ``departure`` [D] is how far a feature lies from its median, in scales, on the rows where it is not at its median
    (root mean square, at least 1): about 1 for a continuous feature, 14 for one that is zero on 99.5 % of the rows.
    A value of 14 is a usual one there, so whatever asks which rows are unusual divides by it.

    Args:
        layout: where each feature lives.
        knot: the autoencoders' own, see :meth:`embed`.
        generator: source of the initial embeddings.
    """

    def __init__(self, layout: Layout, knot: float, generator: torch.Generator) -> None:
        super().__init__()
        self.layout = layout
        self.knot = knot
        wide = torch.float64
        self.register_buffer("log", torch.tensor(layout.log, dtype=torch.bool).reshape(layout.numeric))
        late = torch.tensor(layout.late or (False,) * layout.numeric, dtype=torch.bool).reshape(layout.numeric)
        self.register_buffer("late", late)
        self.register_buffer("center", torch.zeros(layout.dense, dtype=wide))
        self.register_buffer("scale", torch.ones(layout.dense, dtype=wide))
        # Constants live in buffers: the exporter rounds Python floats to float32.
        self.register_buffer("angular", torch.tensor([2 * math.pi / p for p, _ in layout.cycles], dtype=wide))
        self.register_buffer("turn", torch.tensor(2 * math.pi, dtype=wide))
        self.register_buffer("resolution", torch.zeros(layout.width, dtype=wide))
        self.register_buffer("departure", torch.ones(layout.width, dtype=wide))
        self.embeddings = nn.ParameterList(
            torch.randn(k + 1, width, generator=generator)
            for k, width in zip(layout.categories, layout.embeddings, strict=True)
        )
        for c, k in enumerate(layout.categories):
            self.register_buffer(f"frequency_{c}", torch.zeros(k + 1))
            self.register_buffer(f"surprise_{c}", torch.zeros(k + 1))

    center: Tensor
    scale: Tensor
    log: Tensor
    late: Tensor
    resolution: Tensor
    departure: Tensor
    angular: Tensor
    turn: Tensor

    def fit(self, batch: Batch) -> None:
        """Take center, scale and category frequencies from the training rows."""
        raw = self._raw(*tensors(batch)).numpy()
        center, spread, size = raw.mean(0), raw.std(0), np.abs(raw).mean(0)
        for column in np.flatnonzero(np.isnan(batch.numeric).any(axis=0)):
            # Only the cells that are there count; the others then lie at the center, as they will in use.
            missing = np.isnan(batch.numeric[:, column])
            present = raw[~missing, column] if not missing.all() else np.zeros(1)
            center[column], spread[column], size[column] = present.mean(), present.std(), np.abs(present).mean()
            raw[missing, column] = center[column]
        floor = RESOLUTION * np.where(size > 0, size, 1 / RESOLUTION)
        scale = np.maximum(spread, floor)
        self.center.copy_(torch.from_numpy(center))
        self.scale.copy_(torch.from_numpy(scale))
        self.resolution[: self.layout.dense] = torch.from_numpy(np.minimum(floor / scale, 1.0))
        self.resolution[self.layout.dense :] = _CATEGORY_RESOLUTION
        some = raw[:: math.ceil(len(raw) / _DEPARTURE_ROWS)]
        distance = np.abs(some - np.median(some, axis=0)) / scale
        away = np.maximum((distance > RESOLUTION).sum(0), _REGULAR * len(some))
        departure = np.maximum(np.sqrt(np.square(distance).sum(0) / away), 1.0)
        self.departure[: self.layout.dense] = torch.from_numpy(departure)
        for c, k in enumerate(self.layout.categories):
            counts = np.bincount(batch.categorical[:, c], minlength=k + 1).astype(np.float64)
            frequency = (counts + 1) / (counts.sum() + k + 1)  # every value, the unknown too, seen once more
            surprise = -np.log(frequency)
            mean = float(frequency @ surprise)
            spread_c = math.sqrt(float(frequency @ (surprise - mean) ** 2))
            self.get_buffer(f"frequency_{c}").copy_(torch.from_numpy(frequency))
            self.get_buffer(f"surprise_{c}").copy_(torch.from_numpy((surprise - mean) / max(spread_c, 0.5)))

    def prepare(self, numeric: Tensor, time: Tensor) -> Tensor:
        """The part without anything to learn: [n, numeric], [n] -> [n, dense], centered and scaled."""
        return (self._raw(numeric, time) - self.center) / self.scale

    def embed(self, dense: Tensor, categorical: Tensor, knot: float) -> Tensor:
        """Complete prepared rows with their categories: [n, dense], [n, categorical] -> x [n, D].

        Args:
            knot: values beyond this many scales grow logarithmically: a robust, strictly increasing tail.
        """
        parts = [_tail(dense, knot)]
        for c in range(len(self.layout.categories)):
            parts.append(self._values(c)[categorical[:, c]])
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def to_units(self, x: Tensor, metric: Tensor) -> Tensor:
        """Points of the input space [n, D] in the user's units [n, features]: numbers, categories, hours, weekdays.

        Args:
            metric: [D, D], in which a category is the nearest one.
        """
        layout = self.layout
        values = _untail(x[:, : layout.dense], self.knot) * self.scale + self.center
        numbers = values[:, : layout.numeric]
        unlogged = torch.sign(numbers) * (torch.exp(numbers.abs().clamp(max=88.0)) - 1)
        numbers = torch.where(self.log, unlogged, numbers)
        if any(layout.late):
            numbers = torch.where(self.late, _untail(numbers, LATE), numbers)
        numbers = numbers.clamp(-FLOAT32_MAX, FLOAT32_MAX)
        columns = [numbers]
        at = layout.dense
        for c, width in enumerate(layout.embeddings):
            block = slice(at, at + 1 + width)
            at += 1 + width
            if layout.categories[c] == 0:
                columns.append(torch.zeros_like(x[:, :1]))
                continue
            table = self._values(c)[1:]
            weighted = table @ metric[block, block]
            distance = (weighted * table).sum(1) - 2 * x[:, block] @ weighted.T
            columns.append((distance.argmin(dim=1, keepdim=True) + 1).to(x.dtype))
        at = layout.numeric + len(layout.nullable)
        for period, _offset in layout.cycles:
            # ONNX Runtime has the arc tangent in float32 only: enough for the minute of an expected hour.
            sine, cosine = values[:, at : at + 1].float(), values[:, at + 1 : at + 2].float()
            at += 2
            turn = torch.atan2(sine, cosine).to(x.dtype) / self.turn
            turn = turn - torch.floor(turn)
            columns.append(turn * 24 if period == DAY else torch.floor(turn * 7))
        return torch.cat(columns, dim=1)

    def _raw(self, numeric: Tensor, time: Tensor) -> Tensor:
        missing = torch.isnan(numeric)
        filled = torch.where(missing, torch.zeros_like(numeric), numeric)
        filled = torch.where(self.log, torch.sign(filled) * torch.log1p(filled.abs()), filled)
        if any(self.layout.late):
            filled = torch.where(self.late, _tail(filled, LATE), filled)
        columns = [torch.where(missing, self.center[: self.layout.numeric], filled)]
        if self.layout.nullable:
            columns.append(missing[:, list(self.layout.nullable)].to(numeric.dtype))
        for c, (period, offset) in enumerate(self.layout.cycles):
            phase = torch.remainder(time + offset * DAY, period).to(torch.float64) * self.angular[c]
            columns += [torch.sin(phase)[:, None], torch.cos(phase)[:, None]]
        return torch.cat(columns, dim=1)

    def _values(self, c: int) -> Tensor:
        """Surprise and embedding [k + 1, 1 + width] of each value of a categorical feature."""
        return torch.cat([self.get_buffer(f"surprise_{c}")[:, None], self._table(c)], dim=1)

    def _table(self, c: int) -> Tensor:
        """Embeddings [k + 1, width] with mean 0 and variance 1 over the training rows, so that they cannot collapse."""
        weight = self.embeddings[c]
        frequency = self.get_buffer(f"frequency_{c}")[:, None].to(weight.dtype)
        centered = weight - (frequency * weight).sum(0)
        table: Tensor = centered / ((frequency * centered.square()).sum(0) + _TABLE_FLOOR).sqrt()
        return table


def _tail(x: Tensor, knot: float) -> Tensor:
    size = x.abs()
    beyond = knot * (1 + torch.log(size.clamp(min=knot) / knot))
    return torch.where(size > knot, torch.sign(x) * beyond, x)


def _untail(x: Tensor, knot: float) -> Tensor:
    size = x.abs()
    beyond = knot * torch.exp((size.clamp(min=knot) / knot - 1).clamp(max=80.0))
    return torch.where(size > knot, torch.sign(x) * beyond, x)


def tensors(batch: Batch) -> tuple[Tensor, Tensor]:
    """The numeric columns and times of a batch as tensors."""
    return torch.from_numpy(np.ascontiguousarray(batch.numeric)), torch.from_numpy(batch.time)
