"""Fraudulent payments: five scenarios, each in episodes that hang on a payment of the victim."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

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
    SECOND,
    Payments,
    concat,
    solar_offset_ms,
)
from training.simulator.places import CITIES, city_distances_km
from training.simulator.prices import CATEGORY, as_price, draw_cents
from training.simulator.weighted_choice import Choice, Ints, running_total, unroll
from training.simulator.world import World, draw_categories, draw_episode_sizes

READ_OF_A_COPY = (MAGSTRIPE, MAGSTRIPE, CHIP, CONTACTLESS)  # equally likely
HOP_KM = 1650.0  # with at most 100 minutes from the last payment at home: 990 km/h
SLOWEST = 5 * DAY  # the scenarios that take days need a simulation at least this long


Scenario: TypeAlias = Callable[[np.random.Generator, World, int], Payments]


def commit(rng: np.random.Generator, world: World, rows: int) -> tuple[Payments, Ints]:
    """About `rows` fraudulent payments in equal parts from all scenarios; with each its place in SCENARIOS.

    What a scenario cannot place (no room in time, no far city, too few victims) falls to the next;
    the last takes any number.
    """
    parts: list[Payments] = []
    for turn, scenario in enumerate(SCENARIOS.values()):
        missing = rows - sum(map(len, parts))
        payments = scenario(rng, world, missing // (len(SCENARIOS) - turn))
        parts.append(payments.pick(payments.approved(world.end)))
    return concat(parts), np.repeat(np.arange(len(SCENARIOS)), [len(part) for part in parts])


def compromised_merchant(rng: np.random.Generator, world: World, rows: int) -> Payments:
    """A shop leaks the cards it saw within some days; a share of them pays thieves online days later.

    The amounts ignore the card's own level, the hours are near the victim's own: no row is odd by itself.
    """
    legitimate, merchants = world.legitimate, world.merchants
    if world.end < SLOWEST:
        return legitimate.pick(np.arange(0))
    thieves = world.anchors(rng, -(-rows // 15), lead=world.end // 6, among=legitimate.card_present)
    leak = np.full(len(merchants.category), -world.end)  # when the leak at each merchant begins
    leak[thieves.merchant] = thieves.time
    since = legitimate.time - leak[legitimate.merchant]
    seen = (since >= 0) & (since < min(5 * DAY, world.end // 6)) & legitimate.card_present
    in_time = legitimate.time < world.end - 2 * DAY
    visits = legitimate.pick(rng.permutation(np.flatnonzero(seen & in_time)))
    visits = visits.pick(np.unique(visits.card, return_index=True)[1])  # a card is stolen once
    visits = visits.pick(rng.permutation(len(visits)))
    sizes = draw_episode_sizes(rng, rows, 1, 4)[: len(visits)]

    row, turn = unroll(sizes)
    visit = visits.pick(row)
    room = np.minimum(20 * DAY, world.end - visit.time)
    lag = np.maximum(np.rint(rng.uniform(0.1, 0.9, len(sizes))[row] * room / DAY), 1) * DAY
    wait = lag + rng.normal(0.0, 2.5, len(row)) * HOUR + turn * rng.exponential(20.0, len(row)) * HOUR
    category = draw_categories(rng, ("clothing", "electronics", "digital", "household", "entertainment"), len(row))
    elsewhere = merchants.draw_webshop(rng, world.cards.home[visit.card], category, abroad=0.3)
    again = (merchants.online[visit.merchant] > 0) & (rng.random(len(row)) < 0.4)
    merchant = np.where(again, visit.merchant, elsewhere)
    cents = draw_cents(rng, merchants.category[merchant], rng.lognormal(0.4, 0.4, len(row)))
    time = visit.time + np.rint(wait).astype(np.int64)
    return Payments(time, visit.card, merchant, np.full(len(row), ECOMMERCE), cents)


def geo_hop(rng: np.random.Generator, world: World, rows: int) -> Payments:
    """A copied card pays in far shops within 100 minutes of a payment in the home city."""
    cards, merchants, legitimate = world.cards, world.merchants, world.legitimate
    far = city_distances_km(merchants.cities) >= HOP_KM
    population = np.array([city.population for city in CITIES[: merchants.cities]])
    at_home = legitimate.card_present & (merchants.city[legitimate.merchant] == cards.home[legitimate.card])
    has_far = np.flatnonzero(far.any(axis=1))
    possible = at_home & np.isin(cards.home[legitimate.card], has_far)
    sizes = draw_episode_sizes(rng, rows, 1, 3)
    anchors = world.anchors(rng, len(sizes), lead=2 * HOUR, among=possible)
    sizes = sizes[: len(anchors)]

    group = np.repeat(np.arange(merchants.cities), merchants.cities)
    goal = Choice(group, (population**0.7 * far).ravel(), merchants.cities).draw(rng, cards.home[anchors.card])
    row, turn = unroll(sizes)
    city = goal[row] % merchants.cities
    step = np.where(turn == 0, rng.uniform(10, 65, len(row)), rng.uniform(3, 17, len(row))) * MINUTE
    category = draw_categories(rng, ("cash", "electronics", "clothing", "groceries", "fuel", "household"), len(row))
    merchant = merchants.draw_shop(rng, city, category)
    cents = draw_cents(rng, category, rng.lognormal(0.7, 0.5, len(row)) * merchants.price[merchant])
    return Payments(
        time=anchors.time[row] + running_total(step, sizes),
        card=anchors.card[row],
        merchant=merchant,
        channel=np.where(category == CATEGORY["cash"], ATM, rng.choice(READ_OF_A_COPY, len(row))),
        cents=cents,
    )


def slow_drain(rng: np.random.Generator, world: World, rows: int) -> Payments:
    """Low amounts, again and again over days and weeks, at a merchant the holder does not know."""
    sizes = draw_episode_sizes(rng, rows, 5, 9)
    if world.end < SLOWEST:
        return world.legitimate.pick(np.arange(0))
    anchors = world.anchors(rng, len(sizes), lead=10 * DAY)
    sizes = sizes[: len(anchors)]
    row, turn = unroll(sizes)
    category = draw_categories(rng, ("digital", "entertainment", "gambling", "services"), len(sizes))
    merchant = world.draw_new_webshop(rng, anchors.card, category, world.merchants.obscure_webshops)
    usual = rng.lognormal(np.log(9.0), 0.5, len(sizes))[row] * rng.lognormal(0.0, 0.15, len(row))
    cents = as_price(rng, category[row], usual)
    room = np.minimum(rng.uniform(1.5, 4.0, len(sizes)) * DAY * sizes, 0.95 * (world.end - anchors.time))
    wait = (turn + rng.uniform(0.2, 0.8, len(row))) * (room / np.maximum(sizes, 1))[row]
    channel = np.where(rng.random(len(sizes)) < 0.4, RECURRING, ECOMMERCE)
    time = anchors.time[row] + np.rint(wait).astype(np.int64)
    return Payments(time, anchors.card[row], merchant[row], channel[row], cents)


def card_testing(rng: np.random.Generator, world: World, rows: int) -> Payments:
    """A robot tries a stolen number with small online amounts, seconds apart; then one larger follows."""
    sizes = draw_episode_sizes(rng, rows, 6, 11)
    anchors = world.anchors(rng, len(sizes), lead=25 * HOUR)
    sizes = sizes[: len(anchors)]
    row, turn = unroll(sizes)
    card = anchors.card[row]
    larger = turn == sizes[row] - 1
    robot_step = rng.exponential(25.0, len(row)) + 3.0
    step = np.where(larger, rng.uniform(120.0, 1500.0, len(row)), robot_step) * SECOND
    room = np.minimum(DAY, 0.9 * (world.end - anchors.time))
    start = anchors.time + np.rint(rng.random(len(sizes)) * room).astype(np.int64)
    test_category = draw_categories(rng, ("digital", "services", "transport", "entertainment"), len(sizes))
    test_merchant = world.draw_new_webshop(rng, anchors.card, test_category, world.merchants.obscure_webshops)
    category = draw_categories(rng, ("electronics", "clothing", "travel", "household"), len(row))
    merchant = np.where(larger, world.merchants.webshops.draw(rng, category), test_merchant[row])
    small = as_price(rng, test_category[row], rng.lognormal(np.log(1.6), 0.6, len(row)))
    large = draw_cents(rng, category, rng.lognormal(0.4, 0.3, len(row))) + 4000
    time = start[row] + running_total(step, sizes)
    return Payments(time, card, merchant, np.full(len(row), ECOMMERCE), np.where(larger, large, small))


def account_takeover(rng: np.random.Generator, world: World, rows: int) -> Payments:
    """A thief in the holder's account buys dear goods at new merchants, often in the holder's night."""
    sizes = rng.integers(3, 8, rows // 3 + 1)
    anchors = world.anchors(rng, len(sizes), lead=0)
    sizes = sizes[: len(anchors)]
    row, _ = unroll(sizes)
    card = anchors.card[row]
    offset = solar_offset_ms(world.cards.home[anchors.card])
    hour = np.where(
        rng.random(len(sizes)) < 0.65, rng.uniform(0.5, 4.5, len(sizes)), rng.uniform(6.0, 22.0, len(sizes))
    )
    midnight = (anchors.time + offset) // DAY * DAY
    start = midnight + np.rint(hour * HOUR).astype(np.int64) - offset
    category = draw_categories(
        rng, ("electronics", "electronics", "clothing", "travel", "household", "services"), len(row)
    )
    merchant = world.draw_new_webshop(rng, card, category, world.merchants.webshops)
    jump = rng.lognormal(np.log(2.8), 0.5, len(row))
    cents = draw_cents(rng, category, world.cards.level[card, category] * jump)
    time = start[row] + running_total(rng.exponential(16.0, len(row)) * MINUTE + 40 * SECOND, sizes)
    payments = Payments(time, card, merchant, np.full(len(row), ECOMMERCE), cents)
    return payments.pick(np.flatnonzero(payments.approved(world.end))[:rows])


# In this order: the last scenario can be placed almost anywhere and to the row.
SCENARIOS: dict[str, Scenario] = {
    "compromised_merchant": compromised_merchant,
    "geo_hop": geo_hop,
    "slow_drain": slow_drain,
    "card_testing": card_testing,
    "account_takeover": account_takeover,
}
