"""Curves that grow logarithmically from somewhere on, and their inverses. Imported by ``training`` only."""

from __future__ import annotations

import torch
from torch import Tensor

#: exp of it times any scale is finite in float64, and beyond every number that is let in.
_LARGEST_EXPONENT = 88.0


def tail(x: Tensor, knot: float) -> Tensor:
    """x up to ``knot`` on either side, and ``knot`` · (1 + log(|x| / ``knot``)) further on."""
    return x.clamp(-knot, knot) * (1 + torch.log((x.abs() / knot).clamp(min=1)))


def untail(x: Tensor, knot: float) -> Tensor:
    """The inverse of :func:`tail`, as far as floats reach."""
    return x.clamp(-knot, knot) * torch.exp((x.abs() / knot).clamp(1, 1 + _LARGEST_EXPONENT) - 1)


def compress(x: Tensor, start: Tensor, scale: Tensor) -> Tensor:
    """x up to ``start`` on either side, and ``scale`` · log(1 + what is beyond / ``scale``) further on."""
    size = x.abs()
    near = torch.minimum(size, start)
    return torch.sign(x) * (near + scale * torch.log(1 + (size - near) / scale))


def stretch(x: Tensor, start: Tensor, scale: Tensor) -> Tensor:
    """The inverse of :func:`compress`, as far as floats reach."""
    size = x.abs()
    near = torch.minimum(size, start)
    beyond = ((size - near) / scale).clamp(max=_LARGEST_EXPONENT)
    return torch.sign(x) * (near + scale * (torch.exp(beyond) - 1))
