"""The payments that the simulator is made of: one column a fact, before they become a table."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from training.simulator.places import CITIES
from training.simulator.weighted_choice import Bools, Ints

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PAYMENT_LIMIT_CENTS = 600_000  # the issuer declines more; declined payments are not in the table

CHANNELS = ("chip", "contactless", "magstripe", "atm", "ecommerce", "recurring")
CHIP, CONTACTLESS, MAGSTRIPE, ATM, ECOMMERCE, RECURRING = range(len(CHANNELS))


@dataclass(frozen=True)
class Payments:
    """One entry a payment, all arrays of one length. The merchant settles category, country and place."""

    time: Ints  # ms after the simulation's first midnight, UTC
    card: Ints
    merchant: Ints
    channel: Ints  # index into CHANNELS
    cents: Ints

    def __len__(self) -> int:
        return len(self.time)

    def pick(self, rows: Bools | Ints) -> Self:
        """The payments a mask or an index array selects."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def order(self) -> Ints:
        """The index array that sorts by time, then card."""
        return np.lexsort((self.card, self.time))

    def approved(self, end: int) -> Bools:
        """Which are within the limit and the simulated time, that is from 0 up to, but before, `end` ms."""
        return (self.cents <= PAYMENT_LIMIT_CENTS) & (self.time >= 0) & (self.time < end)

    @property
    def card_present(self) -> Bools:
        """Whether the card was at the merchant's place."""
        return self.channel < ECOMMERCE


def concat(parts: Iterable[Payments]) -> Payments:
    """The payments of all `parts`, one after the other."""
    columns = [[getattr(part, field.name) for field in fields(Payments)] for part in parts]
    return Payments(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def solar_offset_ms(city: Ints) -> Ints:
    """How far local solar time is ahead of UTC in each city (index into CITIES), in ms."""
    longitude = np.array([place.longitude for place in CITIES])
    return np.rint(longitude / 360 * DAY).astype(np.int64)[city]
