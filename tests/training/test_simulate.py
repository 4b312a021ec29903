"""The simulator: the table's form, its reproducibility, card holders' habits and the fraud scenarios."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InvalidInput
from tests.examples import examples
from training.simulate import SimulationConfig, simulate, write
from training.simulator.places import CITIES, distance_km
from training.simulator.prices import CATEGORIES
from training.simulator.weighted_choice import Choice, running_total, unroll

ROOT = Path(__file__).parents[2]
CONFIG = SimulationConfig(days=60, cards=2500, merchants=2000, fraud_rate=0.01, seed=7)
SMALL = SimulationConfig(days=7, cards=60, merchants=40, fraud_rate=0.05)
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "transaction_id": pl.String,
    "timestamp": pl.Datetime("ms", "UTC"),
    "card_id": pl.String,
    "merchant_id": pl.String,
    "category": pl.String,
    "channel": pl.String,
    "country": pl.String,
    "amount": pl.Float64,
    "currency": pl.String,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "is_fraud": pl.Int8,
    "fraud_scenario": pl.String,
}
SCENARIOS = {"account_takeover", "card_testing", "compromised_merchant", "geo_hop", "slow_drain"}
CARD_PRESENT = ["chip", "contactless", "magstripe", "atm"]
HOME_KM = 60.0  # two shops of one city are nearer than this


@pytest.fixture(scope="module")
def payments() -> pl.DataFrame:
    return simulate(CONFIG)


@pytest.fixture(scope="module")
def legitimate(payments: pl.DataFrame) -> pl.DataFrame:
    return payments.filter(pl.col("is_fraud") == 0)


def episodes(payments: pl.DataFrame, scenario: str, pause: timedelta) -> pl.DataFrame:
    """The rows of a scenario with `episode`: a card's rows with less than `pause` between neighbours."""
    rows = payments.filter(pl.col("fraud_scenario") == scenario).sort("card_id", "timestamp")
    gap = pl.col("timestamp").diff().over("card_id")
    begins = (gap.is_null() | (gap > pause)).cast(pl.Int64)
    return rows.with_columns(episode=begins.cum_sum())


def hops(payments: pl.DataFrame) -> pl.DataFrame:
    """Each card-present payment beside the card's one before: `km`, `kmh`, and the earlier one's scenario."""
    rows = payments.filter(pl.col("channel").is_in(CARD_PRESENT)).sort("card_id", "timestamp")
    before = [pl.col(name).shift().over("card_id").alias(f"{name}_before") for name in rows.columns]
    rows = rows.with_columns(before).drop_nulls("timestamp_before")
    places = ("latitude", "longitude", "latitude_before", "longitude_before")
    km = distance_km(*(rows[name].to_numpy() for name in places))
    hours = (rows["timestamp"] - rows["timestamp_before"]).dt.total_milliseconds().to_numpy() / 3.6e6
    return rows.with_columns(km=km, kmh=km / np.maximum(hours, 1e-6))


def is_luhn_valid(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def spearman(left: pl.Series, right: pl.Series) -> float:
    return float(np.corrcoef(left.rank().to_numpy(), right.rank().to_numpy())[0, 1])


# --- the table ---------------------------------------------------------------------------------------------


def test_columns_and_types_are_as_documented(payments: pl.DataFrame) -> None:
    assert dict(payments.schema) == SCHEMA
    assert list(payments.columns) == list(SCHEMA)
    assert payments.null_count().sum_horizontal().item() == 0


def test_rows_are_about_one_a_card_and_day(payments: pl.DataFrame) -> None:
    assert payments.height == pytest.approx(CONFIG.days * CONFIG.cards, rel=0.1)


def test_rows_are_in_time_order_with_unique_ids(payments: pl.DataFrame) -> None:
    assert payments["timestamp"].is_sorted()
    assert payments["transaction_id"].is_unique().all()
    assert payments["transaction_id"].is_sorted()
    assert payments["transaction_id"][0] == "tx-00000001"


def test_times_lie_in_the_configured_days(payments: pl.DataFrame) -> None:
    days = payments["timestamp"].dt.date()
    assert days.min() == date(2026, 1, 1)
    assert days.max() == date(2026, 3, 1)


def test_values_are_well_formed(payments: pl.DataFrame) -> None:
    assert payments["card_id"].str.contains(r"^card-\d{6}$").all()
    assert payments["merchant_id"].str.contains(r"^merchant-\d{5}$").all()
    assert set(payments["category"]) == {category.name for category in CATEGORIES}
    assert set(payments["channel"]) == {*CARD_PRESENT, "ecommerce", "recurring"}
    assert set(payments["country"]) <= {city.country for city in CITIES}
    assert set(payments["currency"]) == {"EUR"}
    assert payments["latitude"].is_between(-90, 90).all()
    assert payments["longitude"].is_between(-180, 180).all()
    assert payments["amount"].is_between(0.5, 6000).all()
    assert (payments["amount"] == payments["amount"].round(2)).all()
    assert (payments["latitude"] == payments["latitude"].round(4)).all()


def test_a_merchant_has_one_place_and_category(payments: pl.DataFrame) -> None:
    facts = payments.group_by("merchant_id").agg(pl.col("category", "country", "latitude", "longitude").n_unique())
    assert facts.drop("merchant_id").max().row(0) == (1, 1, 1, 1)


def test_cash_comes_from_machines(payments: pl.DataFrame) -> None:
    assert ((payments["category"] == "cash") == (payments["channel"] == "atm")).all()
    assert (payments.filter(pl.col("channel") == "atm")["amount"] % 10 == 0).all()


def test_label_and_scenario_agree(payments: pl.DataFrame) -> None:
    assert ((payments["fraud_scenario"] != "") == (payments["is_fraud"] == 1)).all()
    assert set(payments["fraud_scenario"]) == SCENARIOS | {""}


def test_no_cell_looks_like_a_card_number(tmp_path: Path) -> None:
    path = tmp_path / "payments.csv"
    write(simulate(SMALL), path)
    for cell in re.split(r"[,\n]", path.read_text()):
        for run in re.findall(r"\d(?:[ -]?\d){12,18}", cell):
            assert not is_luhn_valid(re.sub(r"\D", "", run)), cell


# --- the same again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_same_seed_same_bytes(tmp_path: Path, suffix: str) -> None:
    hashes = set()
    for turn in range(2):
        path = tmp_path / f"{turn}{suffix}"
        write(simulate(SMALL), path)
        hashes.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_other_seeds_differ() -> None:
    again = replace(SMALL, seed=1)
    assert not simulate(SMALL).equals(simulate(again))


def test_bytes_do_not_depend_on_threads_or_hash_order(tmp_path: Path) -> None:
    config = f"SimulationConfig({SMALL.days}, {SMALL.cards}, {SMALL.merchants}, {SMALL.fraud_rate})"
    script = (
        "import sys; from pathlib import Path\n"
        "from training.simulate import SimulationConfig, simulate, write\n"
        f"write(simulate({config}), Path(sys.argv[1]))"
    )
    written = []
    for threads in ("1", "3"):
        path = tmp_path / f"{threads}.csv"
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads}
        subprocess.run([sys.executable, "-c", script, path], check=True, cwd=ROOT, env=environment)
        written.append(path.read_bytes())
    write(simulate(SMALL), tmp_path / "here.csv")
    assert written == [(tmp_path / "here.csv").read_bytes()] * 2


def test_legitimate_payments_do_not_depend_on_the_fraud_rate() -> None:
    none = simulate(replace(SMALL, fraud_rate=0.0))
    some = simulate(SMALL).filter(pl.col("is_fraud") == 0)
    assert none["is_fraud"].sum() == 0
    assert none.drop("transaction_id").equals(some.drop("transaction_id"))


# --- habits ------------------------------------------------------------------------------------------------


def test_amounts_vary_more_between_cards_than_within(legitimate: pl.DataFrame) -> None:
    halves = (
        legitimate.filter(pl.col("category") == "groceries")
        .with_columns(late=pl.int_range(pl.len()).over("card_id") % 2 == 1)
        .group_by("card_id")
        .agg(
            pl.len(),
            even=pl.col("amount").filter(~pl.col("late")).log().median(),
            odd=pl.col("amount").filter("late").log().median(),
        )
        .filter(pl.col("len") >= 20)
        .sort("card_id")
    )
    assert halves.height > 300
    within = (halves["even"] - halves["odd"]).to_numpy().std()
    assert halves["even"].to_numpy().std() > 1.5 * within


def test_cards_keep_their_hours_and_merchants(legitimate: pl.DataFrame) -> None:
    everyday = legitimate.filter((pl.col("channel") != "recurring") & (pl.len().over("card_id") >= 60))
    hour = pl.col("timestamp").dt.hour()
    odd = pl.int_range(pl.len()).over("card_id") % 2 == 1
    halves = everyday.with_columns(odd=odd).group_by("card_id")
    halves_hours = halves.agg(even=hour.filter(~pl.col("odd")).mean(), odd_hour=hour.filter("odd").mean())
    assert spearman(halves_hours["even"], halves_hours["odd_hour"]) > 0.5

    top = everyday.group_by("card_id").agg(
        (pl.col("merchant_id").unique_counts().top_k(5).sum() / pl.len()).alias("share")
    )
    assert 0.3 < np.median(top["share"].to_numpy()) < 0.8


def test_nights_are_quiet(legitimate: pl.DataFrame) -> None:
    local = (pl.col("timestamp").dt.epoch("ms") / 3.6e6 + pl.col("longitude") / 15) % 24
    in_shops = legitimate.filter(pl.col("channel").is_in(CARD_PRESENT))
    hours = in_shops.select(local.floor()).to_series()
    night, noon = hours.is_between(1, 4).to_numpy().mean(), hours.is_between(12, 15).to_numpy().mean()
    assert 0 < night < 0.02
    assert noon > 0.25


def test_holders_travel_and_no_faster_than_an_aeroplane(legitimate: pl.DataFrame) -> None:
    moves = hops(legitimate).filter(pl.col("km") > HOME_KM)
    assert moves.height > 300
    assert moves["country"].n_unique() > 15
    assert (moves["kmh"] > 900).to_numpy().mean() < 0.1  # a few terminals report their owner's seat


def test_subscriptions_repeat_their_amount(legitimate: pl.DataFrame) -> None:
    repeats = (
        legitimate.filter(pl.col("channel") == "recurring")
        .group_by("card_id", "merchant_id", "amount")
        .agg(pl.len(), pl.col("timestamp").diff().median().alias("period"))
        .filter(pl.col("len") >= 2)
    )
    days = (repeats["period"].dt.total_hours() / 24).round()
    assert repeats.height > 500
    assert days.is_in([7.0, 30.0]).to_numpy().mean() > 0.95


def test_categories_and_channels_have_their_own_amounts(legitimate: pl.DataFrame) -> None:
    median = dict(legitimate.group_by("category").agg(pl.col("amount").median()).iter_rows())
    assert median["cafe"] < median["groceries"] < median["fuel"] < median["electronics"] < median["travel"]
    by_channel = dict(legitimate.group_by("channel").agg(pl.col("amount").median()).iter_rows())
    assert by_channel["contactless"] < by_channel["chip"]


def test_a_few_merchants_take_much_of_the_traffic(legitimate: pl.DataFrame) -> None:
    counts = legitimate["merchant_id"].unique_counts().sort(descending=True)
    assert 0.3 < int(counts.head(200).sum()) / int(counts.sum()) < 0.8


# --- fraud -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.001, 0.003, 0.05, 0.4])
def test_the_fraud_rate_is_kept(rate: float) -> None:
    frame = simulate(SimulationConfig(days=60, cards=900, fraud_rate=rate))
    assert frame.height >= 50_000
    assert frame["is_fraud"].mean() == pytest.approx(rate, rel=0.2)


def test_the_fraud_rate_is_kept_where_scenarios_find_no_room() -> None:
    frame = simulate(SimulationConfig(days=1, cards=52_000, merchants=20))
    assert frame["is_fraud"].mean() == pytest.approx(0.003, rel=0.2)
    assert set(frame["fraud_scenario"]) == {"", "card_testing", "account_takeover"}


def test_scenarios_have_about_equal_shares(payments: pl.DataFrame) -> None:
    share = payments.filter(pl.col("is_fraud") == 1)["fraud_scenario"].value_counts(normalize=True)
    assert share["proportion"].is_between(0.15, 0.25).all()


def test_every_scenario_happens_early_and_late(payments: pl.DataFrame) -> None:
    assert set(payments.head(payments.height // 2)["fraud_scenario"]) == SCENARIOS | {""}
    assert set(payments.tail(payments.height // 5)["fraud_scenario"]) == SCENARIOS | {""}


def test_no_column_gives_fraud_away(payments: pl.DataFrame) -> None:
    legitimate = payments.filter(pl.col("is_fraud") == 0)
    fraud = payments.filter(pl.col("is_fraud") == 1)
    for name in ("category", "channel", "country"):
        counts = payments.group_by(name).agg(pl.len(), pl.col("is_fraud").mean())
        assert set(fraud[name]) <= set(legitimate[name])
        assert counts.filter(pl.col("len") > 300)["is_fraud"].to_numpy().max() < 0.5
    for scenario in SCENARIOS:
        rows = fraud.filter(pl.col("fraud_scenario") == scenario)
        assert rows["card_id"].is_in(legitimate["card_id"].implode()).all()
        assert rows["amount"].to_numpy().min() >= legitimate["amount"].to_numpy().min()
        assert rows["amount"].to_numpy().max() <= 6000
    milliseconds = fraud["timestamp"].dt.millisecond()
    assert milliseconds.n_unique() > 0.7 * min(1000, fraud.height)


def test_card_testing_is_a_burst_of_small_amounts_then_a_larger_one(payments: pl.DataFrame) -> None:
    burst = episodes(payments, "card_testing", timedelta(hours=2)).group_by("episode", maintain_order=True)
    facts = burst.agg(
        pl.len(),
        span=pl.col("timestamp").max() - pl.col("timestamp").min(),
        small=pl.col("amount").head(pl.len() - 1).median(),
        last=pl.col("amount").last(),
        online=(pl.col("channel") == "ecommerce").all(),
    )
    assert facts.height > 20
    assert facts["len"].to_numpy().min() >= 5
    assert (facts["span"].dt.total_minutes() < 60).to_numpy().mean() > 0.95
    assert facts["online"].all()
    assert facts["small"].to_numpy().max() < 10
    assert (facts["last"] > 8 * facts["small"]).all()


def test_geo_hop_is_faster_than_an_aeroplane(payments: pl.DataFrame) -> None:
    rows = hops(payments).filter(pl.col("fraud_scenario") == "geo_hop")
    first = rows.filter(pl.col("fraud_scenario_before") == "")
    later = rows.filter(pl.col("fraud_scenario_before") == "geo_hop")
    assert first.height > 50
    assert first["kmh"].to_numpy().min() > 900
    assert (later["km"] < HOME_KM).to_numpy().mean() > 0.9


def test_account_takeover_jumps_in_amount_at_new_merchants_in_odd_hours(payments: pl.DataFrame) -> None:
    usual = payments.filter(pl.col("is_fraud") == 0).group_by("card_id").agg(pl.col("amount").median())
    rows = payments.filter(pl.col("fraud_scenario") == "account_takeover")
    ratio = rows.join(usual, on="card_id", suffix="_usual").select(pl.col("amount") / pl.col("amount_usual"))
    assert np.median(ratio.to_series().to_numpy()) > 5
    hours = rows["timestamp"].dt.hour()
    assert hours.is_between(0, 5).to_numpy().mean() > 0.4
    known = payments.filter(pl.col("is_fraud") == 0).select("card_id", "merchant_id").unique()
    assert rows.join(known, on=["card_id", "merchant_id"]).height < 0.05 * rows.height


def test_compromised_merchants_victims_met_there_before(payments: pl.DataFrame) -> None:
    rows = payments.filter(pl.col("fraud_scenario") == "compromised_merchant")
    assert set(rows["channel"]) == {"ecommerce"}
    first = rows.group_by("card_id").agg(pl.col("timestamp").min().alias("theft"))
    visits = (
        payments.filter((pl.col("is_fraud") == 0) & pl.col("channel").is_in(CARD_PRESENT))
        .join(first, on="card_id")
        .filter(pl.col("timestamp") < pl.col("theft"))
        .unique(["card_id", "merchant_id"])
    )
    victims_seen = visits["merchant_id"].value_counts(sort=True).head(30)["count"]
    others = payments.filter(~pl.col("card_id").is_in(first["card_id"].implode()))
    by_chance = (
        others.filter(pl.col("channel").is_in(CARD_PRESENT))
        .unique(["card_id", "merchant_id"])
        .group_by("merchant_id")
        .len()["len"]
        .sort(descending=True)
        .head(30)
    )
    share_of_victims = int(victims_seen.sum()) / first.height
    share_of_others = int(by_chance.sum()) / others["card_id"].n_unique()
    assert visits["card_id"].n_unique() == first.height
    assert share_of_victims > 1.3 * share_of_others


def test_slow_drain_repeats_low_amounts_at_one_new_merchant_over_days(payments: pl.DataFrame) -> None:
    known = payments.filter(pl.col("is_fraud") == 0).select("card_id", "merchant_id").unique()
    drains = (
        payments.filter(pl.col("fraud_scenario") == "slow_drain")
        .group_by("card_id", "merchant_id")
        .agg(
            pl.len(),
            pl.col("amount").max(),
            span=pl.col("timestamp").max() - pl.col("timestamp").min(),
        )
    )
    assert drains["len"].to_numpy().min() >= 5
    assert drains["amount"].to_numpy().max() < 100
    assert (drains["span"].dt.total_days() >= 3).to_numpy().mean() > 0.9
    assert drains.join(known, on=["card_id", "merchant_id"]).height < 0.1 * drains.height


# --- edges -------------------------------------------------------------------------------------------------


@settings(max_examples=examples(20))
@given(
    days=st.integers(1, 12),
    cards=st.integers(1, 40),
    merchants=st.integers(20, 120),
    fraud_rate=st.floats(0, 0.5, exclude_max=True),
    seed=st.integers(0, 2**64),
    start=st.dates(date(1971, 1, 1), date(2100, 1, 1)),
)
def test_small_configurations_never_fail(**values: Any) -> None:
    config = SimulationConfig(**values)
    frame = simulate(config)
    assert dict(frame.schema) == SCHEMA
    assert frame["timestamp"].is_sorted()
    assert frame["timestamp"].dt.date().is_between(config.start, config.start.replace(year=2101)).all()
    assert frame["card_id"].n_unique() <= config.cards
    assert frame["merchant_id"].n_unique() <= config.merchants
    fraud = int(frame["is_fraud"].sum())
    assert fraud <= frame.height * config.fraud_rate + 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("days", 0, "1 or more"),
        ("cards", 0, "1 or more"),
        ("merchants", 19, "20 or more"),
        ("seed", -1, "0 or more"),
        ("fraud_rate", -0.01, "below, 0.5"),
        ("fraud_rate", 0.5, "below, 0.5"),
        ("fraud_rate", float("nan"), "below, 0.5"),
        ("days", 10_000_000, "year 10000"),
    ],
)
def test_senseless_values_are_refused_by_name(name: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{name} is .*{expected}"):
        SimulationConfig(**{name: value})


# --- files -------------------------------------------------------------------------------------------------


def test_csv_is_exact_and_reads_back(tmp_path: Path) -> None:
    frame = simulate(SMALL)
    path = tmp_path / "new" / "payments.csv"
    write(frame, path)
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(SCHEMA)
    number, when, *_, amount, currency, latitude, longitude, is_fraud, _ = lines[1].split(",")
    assert number == "tx-00000001"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", when)
    assert re.fullmatch(r"\d+\.\d\d", amount)
    assert re.fullmatch(r"-?\d+\.\d{4}", latitude)
    assert re.fullmatch(r"-?\d+\.\d{4}", longitude)
    assert (currency, is_fraud) == ("EUR", "0")
    types = {"timestamp": SCHEMA["timestamp"], "is_fraud": pl.Int8}
    again = pl.read_csv(path, schema_overrides=types).with_columns(pl.col("fraud_scenario").fill_null(""))
    assert again.equals(frame)


def test_parquet_reads_back(tmp_path: Path) -> None:
    frame = simulate(SMALL)
    write(frame, tmp_path / "payments.parquet")
    assert pl.read_parquet(tmp_path / "payments.parquet").equals(frame)


def test_writing_replaces_the_file_and_leaves_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "payments.csv"
    path.write_text("old")
    write(simulate(SMALL), path)
    assert path.read_text().startswith("transaction_id,")
    assert [entry.name for entry in tmp_path.iterdir()] == ["payments.csv"]


def test_an_empty_table_can_be_written(tmp_path: Path) -> None:
    write(simulate(SMALL).clear(), tmp_path / "payments.csv")
    assert (tmp_path / "payments.csv").read_text().splitlines() == [",".join(SCHEMA)]


@pytest.mark.parametrize("name", ["payments.xlsx", "payments", "payments.csv.gz"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"\.csv or \.parquet"):
        write(simulate(SMALL).clear(), tmp_path / name)
    assert not list(tmp_path.iterdir())


# --- draws -------------------------------------------------------------------------------------------------


def test_choice_follows_weights_within_the_group() -> None:
    choice = Choice(np.array([1, 0, 1, 1, 3]), np.array([1.0, 5.0, 3.0, 0.0, 1.0]), groups=4)
    drawn = choice.draw(np.random.default_rng(0), np.repeat([0, 1, 2, 3], 4000))
    assert set(drawn[:4000]) == {1}
    assert set(drawn[4000:8000]) == {0, 2}
    assert (drawn[4000:8000] == 2).mean() == pytest.approx(0.75, abs=0.03)
    assert set(drawn[8000:12000]) == {-1}
    assert set(drawn[12000:]) == {4}


def test_choice_without_members_draws_none() -> None:
    nobody = Choice(np.array([0]), np.array([0.0]), groups=1)
    assert nobody.draw(np.random.default_rng(0), np.zeros(3, np.int64)).tolist() == [-1, -1, -1]


def test_groups_unroll_and_add_up() -> None:
    group, turn = unroll(np.array([2, 0, 3]))
    assert group.tolist() == [0, 0, 2, 2, 2]
    assert turn.tolist() == [0, 1, 0, 1, 2]
    total = running_total(np.array([1.0, 2.0, 3.0, 4.0, 5.2]), np.array([2, 0, 3]))
    assert total.tolist() == [1, 3, 3, 7, 12]
