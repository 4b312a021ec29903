"""The card holders: where each lives, what each is used to, and when each travels."""

from dataclasses import dataclass

import numpy as np

from training.simulator.merchants import Merchants
from training.simulator.places import CITIES, city_distances_km
from training.simulator.prices import CATEGORIES
from training.simulator.weighted_choice import Bools, Choice, Floats, Ints, choose

SHOPS, WEBSHOPS = 4, 2  # favourites of a card in each category
PAYMENTS_PER_DAY = 0.92  # of a mean card; bursts, subscriptions and trips bring a card to about 1 a day


@dataclass(frozen=True)
class Trips:
    """Journeys, sorted by card and first day. On the first and the last day the card is on the way."""

    card: Ints
    first_day: Ints
    last_day: Ints
    city: Ints  # index into CITIES
    horizon: int  # days of the simulation

    def whereabouts(self, card: Ints, day: Ints, home: Ints) -> tuple[Ints, Bools]:
        """Where each card is on each day (`home` when not on a trip), and whether it is on the way."""
        if len(self.card) == 0:
            return home, np.zeros(len(card), np.bool_)
        key = self.card * self.horizon + self.first_day
        trip = np.maximum(np.searchsorted(key, card * self.horizon + day, side="right") - 1, 0)
        away = (self.card[trip] == card) & (self.first_day[trip] <= day) & (day <= self.last_day[trip])
        moving = away & ((day == self.first_day[trip]) | (day == self.last_day[trip]))
        return np.where(away, self.city[trip], home), moving


@dataclass(frozen=True)
class Cards:
    """One entry a card: the habits of its holder."""

    home: Ints  # index into CITIES
    opened: Ints  # the first day on which it is used
    rate: Floats  # payments a day
    level: Floats  # (cards, categories): multiplies the amounts of a category
    taste: Choice  # group = card, member = card * len(CATEGORIES) + category
    online: Floats  # exponent: 1 as fond of paying online as most, higher is fonder
    contactless: Floats  # share of small amounts in shops paid without contact
    loyalty: Floats  # share of the payments at favourite merchants
    hour: Floats  # local solar hour around which the payments lie
    spread: Floats  # hours, their standard deviation
    shops: Ints  # (cards, categories, SHOPS): favourite merchants near home, the dearest first
    webshops: Ints  # (cards, categories, WEBSHOPS): favourite merchants online
    trips: Trips

    def __len__(self) -> int:
        return len(self.home)


def issue(rng: np.random.Generator, count: int, days: int, merchants: Merchants) -> Cards:
    """Invent `count` cards and their trips within `days` days."""
    kinds = len(CATEGORIES)
    home = choose(rng, np.array([city.residents for city in CITIES[: merchants.cities]]), count)
    share = np.array([category.share for category in CATEGORIES])
    taste = share * rng.gamma(1.5, 1 / 1.5, (count, kinds))
    elasticity = np.array([category.elasticity for category in CATEGORIES])
    lavishness = 0.5 * rng.standard_normal((count, 1)) + 0.3 * rng.standard_normal((count, kinds))
    kind = np.broadcast_to(np.arange(kinds), (count, kinds))
    shops = [merchants.draw_shop(rng, home[:, None], kind) for _ in range(SHOPS)]
    webshops = [merchants.draw_webshop(rng, home[:, None], kind) for _ in range(WEBSHOPS)]
    opened = np.where(rng.random(count) < 0.08, rng.integers(0, days, count), 0)
    return Cards(
        home=home,
        opened=opened,
        rate=PAYMENTS_PER_DAY * rng.gamma(2.0, 1 / 2.0, count),
        level=np.exp(elasticity * lavishness),
        taste=Choice(np.repeat(np.arange(count), kinds), taste.ravel(), count),
        online=np.exp(0.6 * rng.standard_normal(count)),
        contactless=rng.beta(4.0, 2.0, count),
        loyalty=rng.beta(6.0, 2.5, count),
        hour=rng.normal(14.0, 1.3, count),
        spread=rng.gamma(16.0, 2.9 / 16, count),
        shops=np.stack(shops, axis=2),
        webshops=np.stack(webshops, axis=2),
        trips=_plan_trips(rng, home, days, merchants.cities),
    )


def _plan_trips(rng: np.random.Generator, home: Ints, days: int, cities: int) -> Trips:
    """Journeys of 3 to about 20 days, mostly to large and not too far cities; some cards never travel."""
    distance = city_distances_km(cities)
    population = np.array([city.population for city in CITIES[:cities]])
    pull = population**0.5 * (np.exp(-distance / 900) + 0.02) * (distance > 100)
    destinations = Choice(np.repeat(np.arange(cities), cities), pull.ravel(), cities)
    yearly = rng.gamma(0.8, 2.6 / 0.8, len(home))
    card = np.repeat(np.arange(len(home)), rng.poisson(yearly * days / 365))
    first_day = rng.integers(0, days, len(card))
    last_day = first_day + 2 + np.minimum(rng.geometric(0.2, len(card)), 25)
    goal = destinations.draw(rng, home[card])
    order = np.lexsort((first_day, card))
    order = order[goal[order] >= 0]
    return Trips(card[order], first_day[order], last_day[order], goal[order] % cities, horizon=days)
