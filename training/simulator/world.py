"""What fraud scenarios share: the world as thieves see it, and the making of episodes."""

from dataclasses import dataclass

import numpy as np

from training.simulator.cards import Cards
from training.simulator.merchants import Merchants
from training.simulator.payments import Payments
from training.simulator.prices import CATEGORY
from training.simulator.weighted_choice import Bools, Choice, Ints


@dataclass(frozen=True)
class World:
    """The world and its legitimate payments, sorted by time."""

    cards: Cards
    merchants: Merchants
    legitimate: Payments
    end: int  # of the simulation, in ms

    def anchors(self, rng: np.random.Generator, size: int, lead: int, among: Bools | None = None) -> Payments:
        """Legitimate payments to hang `size` episodes on, at least `lead` ms before the end.

        Short simulations give a shorter lead; `among` is a mask of payments to keep to. None found: empty.
        """
        latest = np.searchsorted(self.legitimate.time, self.end - min(lead, self.end // 2), side="right")
        mask = np.ones(int(latest), np.bool_) if among is None else among[:latest]
        candidates = np.flatnonzero(mask)
        if len(candidates) == 0:
            return self.legitimate.pick(candidates)
        return self.legitimate.pick(rng.choice(candidates, size, replace=size > len(candidates)))

    def draw_new_webshop(self, rng: np.random.Generator, card: Ints, category: Ints, shops: Choice) -> Ints:
        """Online merchants of these categories, where it can be had such as the card never paid before."""
        count = len(self.merchants.category)
        known = np.isin(self.legitimate.card, card)
        pairs = self.legitimate.card[known] * count + self.legitimate.merchant[known]
        merchant = shops.draw(rng, category)
        for _ in range(3):
            merchant = np.where(np.isin(card * count + merchant, pairs), shops.draw(rng, category), merchant)
        return merchant


def draw_episode_sizes(rng: np.random.Generator, rows: int, low: int, high: int) -> Ints:
    """Sizes of episodes from `low` to `high` payments that together make at most `rows`."""
    sizes = rng.integers(low, high + 1, rows // low)
    return sizes[np.cumsum(sizes) <= rows]


def draw_categories(rng: np.random.Generator, names: tuple[str, ...], size: int) -> Ints:
    """Categories drawn from these names, all equally likely."""
    return rng.choice(np.array([CATEGORY[name] for name in names]), size)
