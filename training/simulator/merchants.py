"""The merchants: where they are, what they sell, how popular they are and how much of it online."""

from dataclasses import dataclass

import numpy as np

from training.simulator.places import CITIES
from training.simulator.prices import CATEGORIES
from training.simulator.weighted_choice import Choice, Floats, Ints, choose

FEWEST = 20  # one merchant of each category in one city, and a few to choose from
MERCHANTS_PER_CITY = 30


@dataclass(frozen=True)
class Merchants:
    """One entry a merchant, and ways to draw one. Every city has a merchant of every category."""

    city: Ints  # index into CITIES
    category: Ints  # index into CATEGORIES
    latitude: Floats  # degrees
    longitude: Floats  # degrees
    price: Floats  # multiplies the amounts of its category
    online: Floats  # share of its sales made online
    cities: int  # how many of CITIES this world has
    country_of_city: Ints  # index into the world's countries
    shops: Choice  # in a city: group = city * len(CATEGORIES) + category
    domestic_webshops: Choice  # of a country: group = country * len(CATEGORIES) + category
    webshops: Choice  # of the world: group = category
    obscure_webshops: Choice  # the same, popular or not

    def draw_shop(self, rng: np.random.Generator, city: Ints, category: Ints) -> Ints:
        """Merchants that sell face to face in these cities and categories."""
        return self.shops.draw(rng, city * len(CATEGORIES) + category)

    def draw_webshop(self, rng: np.random.Generator, city: Ints, category: Ints, abroad: float = 0.15) -> Ints:
        """Merchants that sell online: a share of `abroad` from anywhere, the rest from the city's country."""
        group = self.country_of_city[city] * len(CATEGORIES) + category
        domestic = self.domestic_webshops.draw(rng, group)
        anywhere = self.webshops.draw(rng, category)
        return np.where(rng.random(category.shape) < abroad, anywhere, domestic)


def found(rng: np.random.Generator, count: int) -> Merchants:
    """Invent `count` merchants (at least FEWEST)."""
    kinds = len(CATEGORIES)
    cities = min(max(1, count // MERCHANTS_PER_CITY), len(CITIES))
    grid = np.arange(cities * kinds)
    more = count - len(grid)
    population = np.array([city.population for city in CITIES[:cities]])
    size = population**0.6 * np.array([3.0 if city.residents > 0 else 1.0 for city in CITIES[:cities]])
    share = np.array([category.share for category in CATEGORIES])
    city = np.concatenate([grid // kinds, choose(rng, size, more)])
    category = np.concatenate([grid % kinds, choose(rng, share**0.7, more)])

    demand_online = np.array([entry.online for entry in CATEGORIES])[category]
    pure = (rng.random(count) < demand_online) & (np.arange(count) >= len(grid))
    online = np.where(pure | (demand_online == 1), 1.0, np.where(demand_online > 0, rng.uniform(0.02, 0.3, count), 0))
    popularity = 1 / (rng.permutation(count) + 10.0) ** 0.8
    country_codes = sorted({place.country for place in CITIES[:cities]})
    country_of_city = np.array([country_codes.index(place.country) for place in CITIES[:cities]])
    country_group = country_of_city[city] * kinds + category
    centre = np.array([(place.latitude, place.longitude) for place in CITIES[:cities]])[city]
    spread = 0.06 * rng.standard_normal((count, 2))  # 0.06 degrees: about 5 km
    elasticity = np.array([entry.elasticity for entry in CATEGORIES])
    order = rng.permutation(count)  # so that a merchant's number says nothing about it
    city, category, online, popularity = city[order], category[order], online[order], popularity[order]
    country_group, place = country_group[order], (centre + spread)[order]
    return Merchants(
        city=city,
        category=category,
        latitude=place[:, 0],
        longitude=place[:, 1],
        price=np.exp(0.3 * elasticity[category] * rng.standard_normal(count)),
        online=online,
        cities=cities,
        country_of_city=country_of_city,
        shops=Choice(city * kinds + category, popularity * (1 - online), cities * kinds),
        domestic_webshops=Choice(country_group, popularity * online, len(country_codes) * kinds),
        webshops=Choice(category, popularity * online, kinds),
        obscure_webshops=Choice(category, np.ceil(online), kinds),
    )
