"""Adam as PyTorch's own, to the bit."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch.optim.adam import adam

from training.adam import Adam


class Reference:
    """PyTorch's, by the function behind its optimiser: the class brings a compiler that takes seconds to import."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self._parameters = parameters
        self._means, self._squares = ([torch.zeros_like(one) for one in parameters] for _ in range(2))
        self._steps = [torch.zeros(()) for _ in parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step of the parameters that have a gradient."""
        moving = [place for place, one in enumerate(self._parameters) if one.grad is not None]
        gradients = [self._parameters[place].grad for place in moving]
        lists = [[one[place] for place in moving] for one in (self._means, self._squares)]
        unwrap(adam)(
            [self._parameters[place] for place in moving], gradients, *lists, [], [self._steps[p] for p in moving],
            fused=True, amsgrad=False, beta1=0.9, beta2=0.99, lr=rate, weight_decay=0, eps=1e-8, maximize=False,
        )  # fmt: skip
        for one in self._parameters:
            one.grad = None


def test_it_steps_as_pytorchs_does() -> None:
    random = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 4, generator=random), torch.randn(5, generator=random), torch.randn(2, generator=random)]
    mine, theirs = ([torch.nn.Parameter(one.clone()) for one in start] for _ in range(2))
    own, reference = Adam(mine, (0.9, 0.99)), Reference(theirs)
    for step in range(5):
        rate = 0.1 / (step + 1)
        for parameters in (mine, theirs):  # the last one has no gradient at first
            moving = parameters if step > 1 else parameters[:2]
            torch.stack([(one**3).sum() for one in moving]).sum().backward()  # type: ignore[no-untyped-call]
        own.step(rate)
        reference.step(rate)
        assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))
        assert all(one.grad is None for one in mine)
    assert not torch.equal(mine[2], start[2])
