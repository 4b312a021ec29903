"""The autoencoder's shape is enforced, its members are independent, its loss is the textbook one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.autoencoder import Autoencoder, AutoencoderConfig, reconstruction_loss
from models.errors import InvalidInput


def config(**changes: Any) -> AutoencoderConfig:
    """A small legal shape, changed."""
    return AutoencoderConfig(**{"inputs": 6, "code_size": 3, "hidden": (8,), "members": 2, **changes})


def build(**changes: Any) -> Autoencoder:
    return Autoencoder(config(**changes), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("code_size", [6, 7, 100])
def test_undercomplete_is_enforced(code_size: int) -> None:
    with pytest.raises(InvalidInput, match=f"code size {code_size} is not narrower than the 6 inputs.*at most 5"):
        config(code_size=code_size)
    config(code_size=5)


def test_overcomplete_needs_noise_and_width() -> None:
    with pytest.raises(InvalidInput, match=r"without noise learns to copy its input.*set noise above 0"):
        config(code_size=9, architecture="overcomplete")
    with pytest.raises(InvalidInput, match=r"code size 5 is narrower than the 6 inputs.*at least 6"):
        config(code_size=5, architecture="overcomplete", noise=0.1)
    config(code_size=6, architecture="overcomplete", noise=0.1)


@pytest.mark.parametrize("change", [{"code_size": 0}, {"members": 0}, {"hidden": (8, 0)}, {"hidden": (-1,)}])
def test_every_width_is_at_least_one(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        config(**change)


def test_noise_is_zero_or_more() -> None:
    with pytest.raises(InvalidInput, match="noise must be"):
        config(noise=-0.1)


@pytest.mark.parametrize("hidden", [(), (8,), (8, 4)])
def test_shapes(hidden: tuple[int, ...]) -> None:
    network = build(hidden=hidden)
    x = torch.zeros(2, 5, 6)
    assert network.encode(x).shape == (2, 5, 3)
    assert network(x).shape == (2, 5, 6)
    torch.testing.assert_close(network(x), network.decode(network.encode(x)))


def test_members_have_weights_of_their_own_and_do_not_mix() -> None:
    network = build()
    x = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(1)).expand(2, -1, -1)
    both = network(x)
    assert not torch.allclose(both[0], both[1])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter[1] = 7.0
    torch.testing.assert_close(network(x)[0], both[0])


def test_the_same_seed_gives_the_same_weights_and_touches_nothing_global() -> None:
    before = torch.random.get_rng_state()
    one, other = build(), build()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_loss_is_half_the_squared_distance_per_input_summed_over_members() -> None:
    x = torch.zeros(2, 4, 3)
    reconstruction = torch.ones(2, 4, 3)
    reconstruction[1] = 2
    loss = reconstruction_loss(x, reconstruction, torch.ones(3), 1.0)
    assert loss.item() == pytest.approx(0.5 * 1 + 0.5 * 4)


def test_far_rows_pull_no_harder_than_those_at_the_bound() -> None:
    reconstruction = torch.zeros(1, 100, 3, requires_grad=True)
    x = torch.ones(1, 100, 3)
    x[0, 0] = 1_000.0
    pulls = {}
    for bound in (1.0, 0.9):
        (gradient,) = torch.autograd.grad(reconstruction_loss(x, reconstruction, torch.ones(3), bound), reconstruction)
        pulls[bound] = (gradient[0, 0].norm() / gradient[0, 1].norm()).item()
    assert pulls[1.0] == pytest.approx(1_000)
    assert pulls[0.9] == pytest.approx(1)
