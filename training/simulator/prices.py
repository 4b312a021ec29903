"""The merchant categories: how often, where, when and for how much card holders pay in them."""

from typing import NamedTuple

import numpy as np

from training.simulator.weighted_choice import Floats, Ints


class Category(NamedTuple):
    """How people pay at one kind of merchant."""

    name: str
    share: float  # of an average card's payments at home
    holiday_share: float  # of an average card's payments on a trip
    median: float  # EUR
    sigma: float  # of the logarithm of the amount
    elasticity: float  # how far amounts follow the card's spending level and the merchant's price level
    online: float  # share of the payments made online; 1.0: the category has no shops
    hour: float  # hours after (before, if negative) the card's own mean hour
    swing: float  # hours; where above 0 there are two peaks, so many hours either side


CATEGORIES: tuple[Category, ...] = (
    Category("groceries", 0.25, 0.16, 27.0, 0.65, 0.8, 0.05, 1.0, 0.0),
    Category("restaurant", 0.12, 0.26, 26.0, 0.55, 0.8, 0.06, 1.8, 3.2),
    Category("cafe", 0.11, 0.16, 6.2, 0.45, 0.5, 0.0, -2.2, 0.0),
    Category("fuel", 0.06, 0.03, 52.0, 0.35, 0.35, 0.0, -0.5, 2.5),
    Category("transport", 0.09, 0.12, 8.0, 0.80, 0.7, 0.40, -0.5, 4.0),
    Category("clothing", 0.05, 0.05, 46.0, 0.65, 1.0, 0.45, 0.8, 0.0),
    Category("electronics", 0.03, 0.01, 95.0, 0.95, 1.0, 0.60, 1.5, 0.0),
    Category("household", 0.05, 0.01, 38.0, 0.80, 1.0, 0.40, 0.5, 0.0),
    Category("health", 0.05, 0.03, 17.0, 0.65, 0.7, 0.12, -1.0, 0.0),
    Category("entertainment", 0.04, 0.06, 21.0, 0.60, 0.8, 0.50, 3.5, 0.0),
    Category("travel", 0.02, 0.05, 150.0, 0.80, 1.0, 0.80, 1.5, 0.0),
    Category("digital", 0.05, 0.02, 8.0, 0.60, 0.6, 1.0, 3.5, 0.0),
    Category("services", 0.03, 0.01, 48.0, 0.80, 0.8, 0.55, -1.5, 0.0),
    Category("gambling", 0.01, 0.01, 22.0, 0.80, 1.0, 0.85, 5.0, 0.0),
    Category("cash", 0.04, 0.06, 75.0, 0.55, 0.8, 0.0, 0.0, 0.0),
)
CATEGORY = {category.name: index for index, category in enumerate(CATEGORIES)}


def draw_cents(rng: np.random.Generator, category: Ints, scale: Floats) -> Ints:
    """Amounts in cents, one for each entry of `category`; `scale` multiplies the category's median."""
    median = np.array([entry.median for entry in CATEGORIES])[category]
    sigma = np.array([entry.sigma for entry in CATEGORIES])[category]
    euros = median * scale * np.exp(sigma * rng.standard_normal(category.shape))
    return as_price(rng, category, euros)


def as_price(rng: np.random.Generator, category: Ints, euros: Floats) -> Ints:
    """Amounts in cents near `euros`, with the endings of prices.

    Cash comes in tens, most digital prices end in .99, and about one price in five is a whole or half euro.
    """
    cents = np.maximum(np.rint(euros * 100).astype(np.int64), 50)
    ending = rng.random(category.shape)
    digital, cash = category == CATEGORY["digital"], category == CATEGORY["cash"]
    cents = np.where(~digital & (ending < 0.2), (cents + 25) // 50 * 50, cents)
    cents = np.where(digital & (ending < 0.8), cents // 100 * 100 + 99, cents)
    return np.where(cash, np.clip((cents + 500) // 1000, 1, 100) * 1000, cents)
