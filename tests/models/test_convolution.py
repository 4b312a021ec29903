"""Unrolled convolutions are convolutions, and autoencoders of them are narrow, small and legal."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.autoencoder import Autoencoder, AutoencoderConfig
from models.convolution import MemberConvolution, halved
from models.errors import InvalidInput
from models.layers import MemberLinear


def layer(grid: tuple[int, int], inputs: int, outputs: int, *, transposed: bool = False) -> MemberConvolution:
    """Of two members, with a bias that shows."""
    layer = MemberConvolution(2, grid, (inputs, outputs), 1.0, torch.Generator().manual_seed(0), transposed=transposed)
    nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(1))
    return layer.double()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("grid", [(8, 8), (5, 6), (2, 3), (7, 1)])
def test_it_is_the_convolution_of_torch(grid: tuple[int, int]) -> None:
    ours, x = layer(grid, 3, 4), noise(2, 5, grid[0] * grid[1] * 3)
    short = halved(grid)
    found = ours(x).reshape(2, 5, *short, 4)
    for member in range(2):
        image = x[member].reshape(5, *grid, 3).permute(0, 3, 1, 2)
        image = nn.functional.pad(image, (1, 2, 1, 2))  # what lies beyond the edge on an odd side is not there either
        kernel = ours.kernel[member].reshape(4, 4, 3, 4).permute(3, 2, 0, 1)
        expected = nn.functional.conv2d(image, kernel, ours.bias[member, 0, 0], stride=2)
        torch.testing.assert_close(found[member], expected[:, :, : short[0], : short[1]].permute(0, 2, 3, 1))


@pytest.mark.parametrize("grid", [(8, 8), (5, 6)])
def test_the_way_back_is_the_transpose(grid: tuple[int, int]) -> None:
    there, back = layer(grid, 3, 4), layer(grid, 4, 3, transposed=True)
    with torch.no_grad():
        back.kernel.copy_(there.kernel.transpose(2, 3))
    torch.testing.assert_close(back.matrices()[0], there.matrices()[0].transpose(1, 2))


def test_unrolled_it_computes_the_same() -> None:
    network = Autoencoder(config(), torch.Generator().manual_seed(0)).double()
    weights = sum(p.numel() for p in network.parameters())
    x = noise(2, 4, 30)
    before = network(x)
    assert any(isinstance(layer, MemberConvolution) for layer in network.modules())
    network.unroll()
    assert not any(isinstance(layer, MemberConvolution) for layer in network.modules())
    assert sum(isinstance(layer, MemberLinear) for layer in network.modules()) == 6
    assert torch.equal(network(x), before)
    assert sum(p.numel() for p in network.parameters()) > weights


def config(**changes: Any) -> AutoencoderConfig:
    """A small legal shape, changed."""
    shape = {"inputs": 30, "code_size": 7, "hidden": (3, 4), "members": 2, "architecture": "convolutional"}
    return AutoencoderConfig(**{**shape, "grid": (5, 6), **changes})


def test_shapes() -> None:
    assert config().grids == ((5, 6), (3, 3), (2, 2))
    assert config().widths == (30, 27, 16, 7)
    network = Autoencoder(config(), torch.Generator().manual_seed(0))
    assert network.encode(torch.zeros(2, 5, 30)).shape == (2, 5, 7)
    assert network(torch.zeros(2, 5, 30)).shape == (2, 5, 30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code_size": 30}, "a convolutional autoencoder|not narrower than the 30 inputs"),
        ({"grid": None}, "need each other"),
        ({"architecture": "undercomplete"}, "need each other"),
        ({"grid": (5, 5)}, "5 × 5 does not fit the 30 inputs"),
        ({"grid": (1, 30)}, "at least 2"),
        ({"grid": (-5, -6)}, "at least 2"),
        ({"hidden": (3, 0)}, "at least 1"),
        ({"inputs": 40_000, "grid": (200, 200)}, "weights, at most"),
    ],
)
def test_shapes_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        config(**changes)
