"""Adam (Kingma & Ba 2015) by PyTorch's fused kernel.

``torch.optim`` has it, too, and loads PyTorch's compiler for it: some two seconds at the start of each training.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Adam:
    """Follows the gradients of some parameters, which all lie on one device and have one type.

    Args:
        betas: how much of the mean of the gradients, and of their squares, stays from step to step.
        epsilon: added to the root of the mean of the squares.
    """

    def __init__(self, parameters: Iterable[Tensor], betas: tuple[float, float], epsilon: float = 1e-8) -> None:
        self._parameters = list(parameters)
        self._betas, self._epsilon = betas, epsilon
        self._means = [torch.zeros_like(one) for one in self._parameters]
        self._squares = [torch.zeros_like(one) for one in self._parameters]
        self._steps = [torch.zeros((), device=one.device) for one in self._parameters]

    def step(self, learning_rate: float) -> None:
        """Move the parameters against their gradients, and forget these; one without a gradient stays where it is."""
        moved = [at for at, one in enumerate(self._parameters) if one.grad is not None]
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        moments = ([kept[at] for at in moved] for kept in (self._parameters, self._means, self._squares, self._steps))
        parameters, means, squares, steps = moments
        with torch.no_grad():
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                parameters,
                gradients,
                means,
                squares,
                [],
                steps,
                lr=learning_rate,
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=0.0,
                eps=self._epsilon,
                amsgrad=False,
                maximize=False,
            )
        for one in self._parameters:
            one.grad = None
