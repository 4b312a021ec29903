"""Several processes that train one detector, as `torchrun` starts them: each takes its share of every batch's rows.

All hold the same rows, draw the same numbers and add up their gradients, so their weights stay the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from models.errors import InvalidInput


@dataclass(frozen=True)
class Ranks:
    """Which of them this one is, from 0, and how many there are. Alone unless said otherwise."""

    rank: int = 0
    count: int = 1

    def of(self, rows: int) -> slice:
        """The share of this one in a batch of so many rows: they differ by one row at most."""
        return slice(self.rank, rows, self.count)

    def add_up(self, loss: Tensor, parameters: Iterable[Tensor], share: float) -> Tensor:
        """Give each parameter the gradient of the whole batch, and return the batch's loss.

        Args:
            loss: of this one's rows, the mean over them, after its backward pass.
            share: of the batch's rows.
        """
        if self.count == 1:
            return loss.detach()
        gradients = [one.grad for one in parameters if one.grad is not None]
        flat = torch.cat([loss.detach().reshape(1), *(one.reshape(-1) for one in gradients)]) * share
        dist.all_reduce(flat)
        parts = torch.split(flat[1:], [one.numel() for one in gradients])
        for one, part in zip(gradients, parts, strict=True):
            one.copy_(part.view_as(one))
        return flat[0]


ALONE = Ranks()


@contextmanager
def started_by_torchrun(device: str) -> Iterator[Ranks]:
    """What torchrun says of this process; :data:`ALONE` where it did not start it.

    Raises:
        InvalidInput: they would train on a GPU.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    if device not in ("auto", "cpu"):
        raise InvalidInput("--device: processes that train together do so on the CPU; one is enough for a GPU")
    dist.init_process_group("gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
