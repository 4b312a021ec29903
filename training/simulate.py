"""Invented card payments with labelled fraud, so that Counterfoil can be tried without anyone's data.

    from training.simulate import SimulationConfig, simulate, write
    write(simulate(SimulationConfig()), Path("payments.csv"))  # 300,000 rows
    write(simulate(SimulationConfig(days=3, cards=50, merchants=20)), Path("payments.parquet"))  # tiny

Cards have their own habits (places, hours, amounts, merchants, trips); fraud mostly departs from them.
The same configuration and seed give the same bytes; the legitimate payments do not depend on the fraud rate.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from models.aside import written_aside
from models.errors import InvalidInput
from training.simulator import cards as card_holders
from training.simulator import fraud, merchants, routine
from training.simulator.payments import CHANNELS, DAY, Payments, concat
from training.simulator.places import CITIES
from training.simulator.prices import CATEGORIES
from training.simulator.weighted_choice import Ints
from training.simulator.world import World

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class SimulationConfig:
    """How much to simulate. Raises InvalidInput, naming the field, where a value makes no sense."""

    days: int = 60  # calendar days, UTC
    cards: int = 5000  # each pays about once a day
    merchants: int = 2000
    fraud_rate: float = 0.003  # share of the rows that are fraud, approximately
    seed: int = 0
    start: date = date(2026, 1, 1)

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("cards", 1), ("merchants", merchants.FEWEST), ("seed", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} is {getattr(self, name)}: expected {least} or more")
        if not 0 <= self.fraud_rate < 0.5:
            raise InvalidInput(f"fraud_rate is {self.fraud_rate}: expected a share from 0 up to, but below, 0.5")
        if self.days > (date.max - self.start).days:
            raise InvalidInput(f"days is {self.days}: expected an end before the year 10000")


def simulate(config: SimulationConfig) -> pl.DataFrame:
    """One row a payment, sorted by time. Very small configurations may have no fraud, or no rows at all.

    Columns: transaction_id, timestamp (ms, UTC), card_id, merchant_id, category, channel, country (ISO 3166
    alpha-2), amount (two decimals, in `currency`), currency, latitude and longitude (degrees, of the
    merchant), is_fraud (0 or 1), fraud_scenario ("" for legitimate).
    """
    streams = [np.random.Generator(np.random.PCG64(seed)) for seed in np.random.SeedSequence(config.seed).spawn(4)]
    shops = merchants.found(streams[0], config.merchants)
    holders = card_holders.issue(streams[1], config.cards, config.days, shops)
    legitimate = routine.live(streams[2], holders, shops, config.days, config.start.weekday())
    rows = round(len(legitimate) * config.fraud_rate / (1 - config.fraud_rate))
    world = World(holders, shops, legitimate, config.days * DAY)
    fraudulent, scenario = fraud.commit(streams[3], world, rows)

    payments = concat((legitimate, fraudulent))
    scenario = np.concatenate((np.zeros(len(legitimate), np.int64), scenario + 1))
    order = payments.order()
    return _tabulate(payments.pick(order), scenario[order], shops, config.start)


def _tabulate(payments: Payments, scenario: Ints, shops: merchants.Merchants, start: date) -> pl.DataFrame:
    """The payments, in order, as the table that users see; `scenario` is 0 for legitimate."""
    merchant = payments.merchant
    city = shops.city[merchant]
    number = pl.int_range(1, len(payments) + 1, eager=True).cast(pl.String).str.zfill(8)
    return pl.DataFrame(
        {
            "transaction_id": "tx-" + number,
            "timestamp": _timestamps(payments.time, start),
            "card_id": _names("card-{:06d}", payments.card),
            "merchant_id": _names("merchant-{:05d}", merchant),
            "category": _look_up([category.name for category in CATEGORIES], shops.category[merchant]),
            "channel": _look_up(list(CHANNELS), payments.channel),
            "country": _look_up([place.country for place in CITIES], city),
            "amount": payments.cents / 100,
            "currency": _look_up(["EUR"], np.zeros_like(merchant)),
            "latitude": np.round(shops.latitude, 4)[merchant],
            "longitude": np.round(shops.longitude, 4)[merchant],
            "is_fraud": np.sign(scenario).astype(np.int8),
            "fraud_scenario": _look_up(["", *fraud.SCENARIOS], scenario),
        }
    )


def _timestamps(time: Ints, start: date) -> pl.Series:
    midnight = (start - date(1970, 1, 1)).days * DAY
    return pl.Series(midnight + time).cast(pl.Datetime("ms", "UTC"))


def _names(pattern: str, number: Ints) -> pl.Series:
    """`pattern` filled in with each number counted from 1."""
    return _look_up([pattern.format(value + 1) for value in range(int(number.max(initial=-1)) + 1)], number)


def _look_up(names: list[str], index: Ints) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(index)


def last_days(frame: pl.DataFrame, config: SimulationConfig, days: int) -> pl.DataFrame:
    """The rows of the last so many days of a simulated table."""
    midnight = datetime.combine(config.start, time(), UTC) + timedelta(days=config.days - days)
    return frame.filter(pl.col("timestamp") >= midnight)


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a simulated table to .csv or .parquet; a reader sees the whole file or none.

    In CSV, times are ISO 8601 with Z and the decimals of amounts and degrees are exact.
    Raises InvalidInput for another suffix. Missing folders are made.
    """
    if path.suffix not in SUFFIXES:
        raise InvalidInput(f"{path.name}: unknown suffix '{path.suffix}': expected {' or '.join(SUFFIXES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        if path.suffix == ".csv":
            exact = frame.with_columns(
                pl.col("amount").cast(pl.Decimal(18, 2)),
                pl.col("latitude", "longitude").cast(pl.Decimal(18, 4)),
                pl.col("fraud_scenario").replace("", None),  # an empty cell instead of a quoted empty text
            )
            exact.write_csv(aside, datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ")
        else:
            frame.write_parquet(aside, compression="zstd", row_group_size=131_072)
