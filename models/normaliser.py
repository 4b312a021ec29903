"""Normaliser: transactions to the detector's input space x, and reconstructions back to the user's units.

Columns of x, in order: one per numeric feature, one indicator per nullable numeric feature, sine and cosine per
cycle, then per categorical feature its surprise -log p and its learned embedding. Imported by ``training`` only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn

from models.curves import compress, stretch, tail, untail
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
_NEVER = 1e300


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
        told: which reason each feature is told in; empty: its cause.
    """

    numeric: int
    log: tuple[bool, ...]
    nullable: tuple[int, ...]
    cycles: tuple[tuple[int, int], ...]
    categories: tuple[int, ...]
    late: tuple[bool, ...] = ()
    alike: tuple[int, ...] = ()
    told: tuple[int, ...] = ()

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
            alike=schema.things if schema.behaviour else (),
            told=schema.causes,
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
        late = layout.late or (False,) * layout.numeric
        curves = [(0.0, 1.0) if log else (LATE, LATE) if late[i] else (_NEVER, 1.0) for i, log in enumerate(layout.log)]
        self.register_buffer("curve", torch.tensor(curves, dtype=wide).reshape(layout.numeric, 2).T.contiguous())
        self.register_buffer("center", torch.zeros(layout.dense, dtype=wide))
        self.register_buffer("scale", torch.ones(layout.dense, dtype=wide))
        # The cosine is the sine a quarter later.
        pairs = [(period, offset * DAY + late) for period, offset in layout.cycles for late in (0, period // 4)]
        self.register_buffer("period", torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous())
        self.register_buffer("angular", torch.tensor([2 * math.pi / period for period, _ in pairs], dtype=wide))
        daily = [period == DAY for period, _ in layout.cycles]
        self.register_buffer("daily", torch.tensor(daily, dtype=torch.bool))
        self.register_buffer("units", torch.tensor([24.0 if day else 7.0 for day in daily], dtype=wide))
        self.register_buffer("resolution", torch.zeros(layout.width, dtype=wide))
        self.register_buffer("departure", torch.ones(layout.width, dtype=wide))
        self.settled = False
        self.embeddings = nn.ParameterList(
            torch.randn(k + 1, width, generator=generator)
            for k, width in zip(layout.categories, layout.embeddings, strict=True)
        )
        for c, k in enumerate(layout.categories):
            self.register_buffer(f"frequency_{c}", torch.zeros(k + 1))
            self.register_buffer(f"surprise_{c}", torch.zeros(k + 1))

    center: Tensor
    scale: Tensor
    curve: Tensor
    resolution: Tensor
    departure: Tensor
    period: Tensor
    angular: Tensor
    daily: Tensor
    units: Tensor
    values: Tensor
    starts: Tensor

    def fit(self, batch: Batch, least: float | None = None) -> None:
        """Take center, scale and category frequencies from the training rows; with ``least`` the numbers are places of
        one grid, share one scale, and no change below so many scales is news."""
        raw = self._raw(*tensors(batch)).numpy()
        center, spread, size = raw.mean(0), raw.std(0), np.abs(raw).mean(0)
        for column in np.flatnonzero(np.isnan(batch.numeric).any(axis=0)):
            # Only the cells that are there count; the others then lie at the center, as they will in use.
            missing = np.isnan(batch.numeric[:, column])
            present = raw[~missing, column] if not missing.all() else np.zeros(1)
            center[column], spread[column], size[column] = present.mean(), present.std(), np.abs(present).mean()
            raw[missing, column] = center[column]
        if least is not None:
            spread[:], size[:] = math.sqrt(np.square(spread).mean()), size.mean()
        floor = RESOLUTION * np.where(size > 0, size, 1 / RESOLUTION)
        scale = np.maximum(spread, floor)
        resolution = np.minimum(np.maximum(floor / scale, least or 0.0), 1.0)
        self.center.copy_(torch.from_numpy(center))
        self.scale.copy_(torch.from_numpy(scale))
        self.resolution[: self.layout.dense] = torch.from_numpy(resolution)
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

    def settle(self) -> None:
        """Work out the categories' tables once, in float64, when nothing more is to be learned."""
        tables = [self._values(c).detach() for c in range(len(self.layout.categories))]
        for c, table in enumerate(tables):
            self.register_buffer(f"values_{c}", table)
        # One below the other, each in columns of its own: all of a row's categories are looked up at once, and added.
        starts = [0, *accumulate(len(table) for table in tables)][: len(tables)]
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.int64))
        self.register_buffer("values", torch.block_diag(*tables))  # type: ignore[no-untyped-call]
        self.settled = True

    def prepare(self, numeric: Tensor, time: Tensor) -> Tensor:
        """The part without anything to learn: [n, numeric], [n] -> [n, dense], centered and scaled."""
        return (self._raw(numeric, time) - self.center) / self.scale

    def embed(self, dense: Tensor, categorical: Tensor, knot: float) -> Tensor:
        """Complete prepared rows with their categories: [n, dense], [n, categorical] -> x [n, D].

        Args:
            knot: values beyond this many scales grow logarithmically: a robust, strictly increasing tail.
        """
        numbers = tail(dense, knot)
        if not self.layout.categories:
            return numbers
        if self.settled:
            return torch.cat([numbers, self.values[categorical + self.starts].sum(1)], dim=1)
        tables = (self._values(c).index_select(0, categorical[:, c]) for c in range(categorical.shape[1]))
        return torch.cat([numbers, *tables], dim=1)

    def to_units(self, x: Tensor, metric: Tensor) -> Tensor:
        """Points of the input space [n, D] in the user's units [n, features]: numbers, categories, hours, weekdays.

        Args:
            metric: [D, D], in which a category is the nearest one.
        """
        layout = self.layout
        values = untail(x[:, : layout.dense], self.knot) * self.scale + self.center
        numbers = values[:, : layout.numeric]
        if self._curved:
            numbers = stretch(numbers, *self.curve)
        columns = [numbers.clamp(-FLOAT32_MAX, FLOAT32_MAX)]
        nearest = []
        at = layout.dense
        for c, width in enumerate(layout.embeddings):
            block = slice(at, at + 1 + width)
            at += 1 + width
            table = self._values(c)
            weighted = table @ metric[block, block]
            far = (weighted * table).sum(1)
            far[0] = _NEVER  # an unknown value is expected only where no value is known
            nearest.append((far - x[:, block] @ (2 * weighted.T)).argmin(dim=1, keepdim=True))
        if nearest:
            columns.append(torch.cat(nearest, dim=1).to(x.dtype))
        if layout.cycles:
            # ONNX Runtime has the arc tangent in float32 only: enough for the minute of an expected hour.
            circle = values[:, layout.numeric + len(layout.nullable) :].float()
            turn = torch.atan2(circle[:, ::2], circle[:, 1::2]).to(x.dtype) / (2 * math.pi)
            cycles = (turn - torch.floor(turn)) * self.units
            columns.append(torch.where(self.daily, cycles, torch.floor(cycles)))
        return torch.cat(columns, dim=1)

    @property
    def _curved(self) -> bool:
        return any(self.layout.log) or any(self.layout.late)

    def _raw(self, numeric: Tensor, time: Tensor) -> Tensor:
        missing = torch.isnan(numeric)
        shown = compress(numeric, *self.curve) if self._curved else numeric
        columns = [torch.where(missing, self.center[: self.layout.numeric], shown)]
        if self.layout.nullable:
            columns.append(missing[:, list(self.layout.nullable)].to(numeric.dtype))
        if self.layout.cycles:
            phase = torch.remainder(time[:, None] + self.period[1], self.period[0]).to(torch.float64)
            columns.append(torch.sin(phase * self.angular))  # sine and cosine, one after the other
        return torch.cat(columns, dim=1)

    def _values(self, c: int) -> Tensor:
        """Surprise and embedding [k + 1, 1 + width] of each value of a categorical feature."""
        if self.settled:
            return self.get_buffer(f"values_{c}")
        return torch.cat([self.get_buffer(f"surprise_{c}")[:, None], self._table(c)], dim=1)

    def _table(self, c: int) -> Tensor:
        """Embeddings [k + 1, width] with mean 0 and variance 1 over the training rows, so that they cannot collapse."""
        weight = self.embeddings[c]
        frequency = self.get_buffer(f"frequency_{c}")[:, None].to(weight.dtype)
        centered = weight - (frequency * weight).sum(0)
        table: Tensor = centered / ((frequency * centered.square()).sum(0) + _TABLE_FLOOR).sqrt()
        return table


def tensors(batch: Batch) -> tuple[Tensor, Tensor]:
    """The numeric columns and times of a batch as tensors."""
    return torch.from_numpy(np.ascontiguousarray(batch.numeric)), torch.from_numpy(batch.time)
