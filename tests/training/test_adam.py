"""Adam as PyTorch's own, to the bit."""

from __future__ import annotations

import torch

from training.adam import Adam


def test_it_steps_as_pytorchs_does() -> None:
    random = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 4, generator=random), torch.randn(5, generator=random), torch.randn(2, generator=random)]
    mine, theirs = ([torch.nn.Parameter(one.clone()) for one in start] for _ in range(2))
    own, reference = Adam(mine, (0.9, 0.99)), torch.optim.Adam(theirs, betas=(0.9, 0.99), fused=True)
    for step in range(5):
        rate = 0.1 / (step + 1)
        reference.param_groups[0]["lr"] = rate
        reference.zero_grad()
        for parameters in (mine, theirs):  # the last one has no gradient at first
            moving = parameters if step > 1 else parameters[:2]
            torch.stack([(one**3).sum() for one in moving]).sum().backward()  # type: ignore[no-untyped-call]
        own.step(rate)
        reference.step()
        assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))
        assert all(one.grad is None for one in mine)
    assert not torch.equal(mine[2], start[2])
