"""Legitimate payments: each card follows its holder's habits, with bursts, trips and subscriptions."""

import numpy as np

from training.simulator.cards import SHOPS, WEBSHOPS, Cards
from training.simulator.merchants import Merchants
from training.simulator.payments import (
    ATM,
    CHIP,
    CONTACTLESS,
    DAY,
    ECOMMERCE,
    HOUR,
    MAGSTRIPE,
    MINUTE,
    RECURRING,
    Payments,
    concat,
    solar_offset_ms,
)
from training.simulator.places import CITIES
from training.simulator.prices import CATEGORIES, CATEGORY, draw_cents
from training.simulator.weighted_choice import Bools, Floats, Ints, choose, running_total, unroll

WEEKDAYS = (0.92, 0.94, 0.97, 1.02, 1.18, 1.15, 0.82)  # payments relative to a mean day, Monday first
CONTACTLESS_LIMIT_CENTS = 5000  # above it the terminal wants the chip, a telephone excepted
MAGSTRIPE_COUNTRIES = frozenset({"US", "MX", "BR", "NG", "IN", "TH", "EG"})
SEAT_SHARE = 0.0008  # payments in shops whose terminal reports the seat of its owner, which may be far
BURSTY = ("cafe", "transport", "digital", "gambling")


def live(rng: np.random.Generator, cards: Cards, merchants: Merchants, days: int, weekday: int) -> Payments:
    """All legitimate payments of `days` days sorted by time; `weekday` is the first day's, Monday = 0."""
    everyday = _everyday(rng, cards, merchants, days, weekday)
    everything = concat(
        (everyday, _bursts(rng, everyday, cards, merchants), _subscriptions(rng, cards, merchants, days))
    )
    everything = everything.pick(everything.approved(days * DAY))
    return everything.pick(everything.order())


def _everyday(rng: np.random.Generator, cards: Cards, merchants: Merchants, days: int, weekday: int) -> Payments:
    """The payments that card holders decide on one by one."""
    factor = np.array(WEEKDAYS)[(weekday + np.arange(days)) % 7]
    card = np.repeat(np.arange(len(cards)), rng.poisson(cards.rate * factor.sum()))
    day = choose(rng, factor, len(card))
    in_use = cards.opened[card] <= day
    card, day = card[in_use], day[in_use]
    city, moving = cards.trips.whereabouts(card, day, cards.home[card])
    travelling = city != cards.home[card]

    category = cards.taste.draw(rng, card) % len(CATEGORIES)
    holiday = choose(rng, np.array([entry.holiday_share for entry in CATEGORIES]), len(card))
    category = np.where(travelling, holiday, category)
    offline = 1 - np.array([entry.online for entry in CATEGORIES])[category]
    online = rng.random(len(card)) >= offline ** (cards.online[card] * np.where(travelling, 0.5, 1.0))
    seat = choose(rng, np.array([place.population for place in CITIES[: merchants.cities]]), len(card))
    reported = np.where(rng.random(len(card)) < SEAT_SHARE, seat, city)
    merchant = _choose_merchant(rng, cards, merchants, card=card, category=category, city=reported, online=online)
    cents = draw_cents(rng, category, cards.level[card, category] * merchants.price[merchant])
    weekend = (weekday + day) % 7 >= 5
    hour = _choose_hour(rng, cards, card, category, weekend)
    offset = solar_offset_ms(city)
    payments = Payments(
        time=day * DAY + np.rint(hour * HOUR).astype(np.int64) - offset,
        card=card,
        merchant=merchant,
        channel=np.where(
            online, ECOMMERCE, _card_present_channel(rng, merchants, merchant, cents, cards.contactless[card])
        ),
        cents=cents,
    )
    return payments.pick(online | ~moving)  # on the way the card is not seen in shops


def _choose_merchant(
    rng: np.random.Generator,
    cards: Cards,
    merchants: Merchants,
    *,
    card: Ints,
    category: Ints,
    city: Ints,
    online: Bools,
) -> Ints:
    """A favourite merchant or, by the holder's loyalty, any other of that category; on trips a local one."""
    size = len(card)
    rank, webrank = _zipf_rank(rng, SHOPS, size), _zipf_rank(rng, WEBSHOPS, size)
    favourite = np.where(online, cards.webshops[card, category, webrank], cards.shops[card, category, rank])
    other = np.where(
        online,
        merchants.draw_webshop(rng, cards.home[card], category),
        merchants.draw_shop(rng, city, category),
    )
    settled = (rng.random(size) < cards.loyalty[card]) & (online | (city == cards.home[card]))
    return np.where(settled, favourite, other)


def _zipf_rank(rng: np.random.Generator, ranks: int, size: int) -> Ints:
    """Ranks from 0, each drawn in proportion to 1 / (rank + 1)."""
    return choose(rng, 1 / np.arange(1.0, ranks + 1), size)


def _choose_hour(rng: np.random.Generator, cards: Cards, card: Ints, category: Ints, weekend: Bools) -> Floats:
    """Local solar hours in [0, 24), later at weekends, around the card's own hour and the category's."""
    shift = np.array([entry.hour for entry in CATEGORIES])[category]
    swing = np.array([entry.swing for entry in CATEGORIES])[category]
    side = np.where(rng.random(len(card)) < 0.5, -1.0, 1.0)
    spread = cards.spread[card] * np.where(swing > 0, 0.5, 1.0) * rng.standard_normal(len(card))
    hour: Floats = (cards.hour[card] + shift + swing * side + np.where(weekend, 0.8, 0.0) + spread) % 24
    return hour


def _card_present_channel(
    rng: np.random.Generator, merchants: Merchants, merchant: Ints, cents: Ints, contactless: Floats
) -> Ints:
    """How a card is read in a shop: mostly by the country, the amount and the holder's taste."""
    stripe_city = np.array([city.country in MAGSTRIPE_COUNTRIES for city in CITIES])
    stripe = rng.random(len(merchant)) < np.where(stripe_city[merchants.city[merchant]], 0.15, 0.004)
    tap = rng.random(len(merchant)) < contactless * np.where(cents > CONTACTLESS_LIMIT_CENTS, 0.3, 1.0)
    channel = np.where(stripe, MAGSTRIPE, np.where(tap, CONTACTLESS, CHIP))
    return np.where(merchants.category[merchant] == CATEGORY["cash"], ATM, channel)


def _bursts(rng: np.random.Generator, everyday: Payments, cards: Cards, merchants: Merchants) -> Payments:
    """Payments soon after another at the same merchant: rounds of drinks, tickets, purchases in a game."""
    category = merchants.category[everyday.merchant]
    bursty = np.isin(category, [CATEGORY[name] for name in BURSTY])
    first = np.flatnonzero(rng.random(len(everyday)) < np.where(bursty, 0.06, 0.006))
    more = rng.geometric(0.45, len(first))
    again = everyday.pick(np.repeat(first, more))
    category = merchants.category[again.merchant]
    step = rng.exponential(6.0, len(again)) * MINUTE + 0.5 * MINUTE
    wait = running_total(step, more)
    scale = cards.level[again.card, category] * merchants.price[again.merchant]
    return Payments(again.time + wait, again.card, again.merchant, again.channel, draw_cents(rng, category, scale))


def _subscriptions(rng: np.random.Generator, cards: Cards, merchants: Merchants, days: int) -> Payments:
    """The same amount from the same merchant every 30 days; some low ones every week."""
    card = np.repeat(np.arange(len(cards)), rng.poisson(1.4, len(cards)))
    kind = choose(rng, np.array([0.55, 0.35, 0.1]), len(card))
    category = np.array([CATEGORY["digital"], CATEGORY["services"], CATEGORY["transport"]])[kind]
    merchant = merchants.draw_webshop(rng, cards.home[card], category)
    cents = draw_cents(rng, category, cards.level[card, category] * merchants.price[merchant])
    period = np.where((cents > 2000) | (rng.random(len(card)) < 0.8), 30, 7)
    first_day = cards.opened[card] + np.floor(rng.random(len(card)) * period).astype(np.int64)
    moment = rng.integers(0, 8 * HOUR, len(card))

    times = np.maximum(0, -((first_day - days) // period))
    row, turn = unroll(times)
    jitter = rng.integers(0, 20 * MINUTE, len(row))
    time = (first_day[row] + turn * period[row]) * DAY + moment[row] + jitter
    return Payments(time, card[row], merchant[row], np.full(len(row), RECURRING), cents[row])
