"""An attacker feeds small frauds as legitimate traffic for weeks, then strikes: what the Monday's gate does about it.

    python benchmarks/poisoning.py                                # a quarter of an hour: seven trainings
    python benchmarks/poisoning.py --cards 200 --mondays 1        # a tiny run

Four clean weeks train the first version. From then on the attacker pays small amounts with stolen cards at shops of
his own, and nobody complains: it is taken for legitimate. Other fraud goes on, and is labelled within the label delay.
Each Monday a challenger is trained on all that is old enough, as `counterfoil retrain` does, and the gate compares it
with the version that it has let through before; beside it the same Mondays without a gate. In the week after the last
Monday the attacker strikes at the same shops with large amounts. Prints a Markdown table. Recall is at each version's
own threshold.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from models.behaviour.events import Behaviour
from models.registry import Registry
from models.rows import FRAUD
from models.schema import TransactionSchema, load_schema
from models.scorer import Scorer
from models.thresholds import Policy
from training.behaviour import remember
from training.fit import FitOptions
from training.read import History, read_history
from training.retrain.compare import compare
from training.retrain.gate import judge
from training.simulate import SimulationConfig, simulate
from training.train import TrainingJob, train

CLEAN_DAYS, WEEK, SHOPS, STOLEN = 28, 7, 8, 0.05
DELAY = f"{WEEK}d"
SMALL, LARGE = (1.0, 9.0), (80.0, 400.0)


@dataclass(frozen=True)
class Attack:
    """How much the attacker pays: shares of the traffic of the days."""

    feeding: float
    striking: float = 0.01


def paid(frame: pl.DataFrame, share: float, amounts: tuple[float, float], mark: str, seed: int) -> pl.DataFrame:
    """The attacker's payments in these days: legitimate ones copied to his cards, his shops, his amounts."""
    random = np.random.default_rng(seed)
    cards = frame["card_id"].unique().sort().gather_every(int(1 / STOLEN))
    some = frame.sample(fraction=share, seed=seed, shuffle=True)
    count = some.height
    return some.with_columns(
        pl.Series("transaction_id", [f"{mark}-{i}" for i in range(count)]),
        pl.Series("card_id", random.choice(cards.to_numpy(), count)),
        pl.Series("merchant_id", [f"shop-{i}" for i in random.integers(0, SHOPS, count)]),
        pl.Series("amount", random.uniform(*amounts, count).round(2)),
        pl.lit("digital").alias("category"),
        pl.lit("ecommerce").alias("channel"),
        pl.lit("AU").alias("country"),
        pl.lit(-33.87).alias("latitude"),
        pl.lit(151.21).alias("longitude"),
        pl.lit(0, frame.schema["is_fraud"]).alias("is_fraud"),
        pl.lit(mark).alias("fraud_scenario"),
    ).select(frame.columns)


def alerts(scorer: Scorer, history: History) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows of a whole history a version alerts on."""
    rows = remember(Behaviour(scorer.schema), history)[0]
    return scorer.score(rows.batch(scorer.vocabulary)).is_anomaly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=1_000)
    parser.add_argument("--mondays", type=int, default=6)
    parser.add_argument("--feeding", type=float, default=0.01, help="share of the traffic that the attacker adds")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    attack = Attack(args.feeding)
    days = CLEAN_DAYS + WEEK * (args.mondays + 2)
    frame = simulate(SimulationConfig(days=days, cards=args.cards, fraud_rate=0.01, seed=args.seed))
    begin = frame["timestamp"].min()
    day = (pl.col("timestamp") - begin).dt.total_days()
    honest = frame.filter(pl.col("is_fraud") == 0)
    strike_day = days - WEEK
    feeding = paid(honest.filter(day.is_between(CLEAN_DAYS, strike_day - 1)), attack.feeding, SMALL, "feeding", 1)
    strike = paid(honest.filter(day >= strike_day), attack.striking, LARGE, "strike", 2)
    everything = pl.concat([frame, feeding, strike]).sort("timestamp", maintain_order=True)
    with tempfile.TemporaryDirectory() as name:
        folder, schema = Path(name), load_schema("payments").model_copy(update={"label_delay": DELAY})
        registry = Registry(folder / "artifacts")

        def known(until: int) -> History:
            path = folder / f"{until}.parquet"
            everything.filter(day < until).write_parquet(path)
            return read_history(schema, [path])

        whole = known(days)
        assert whole.scenario is not None
        scenario = whole.scenario.fill_null("").to_numpy()
        late = whole.time >= whole.time[0] + strike_day * timedelta(days=1) // timedelta(microseconds=1)
        struck, other = scenario == "strike", (whole.label == FRAUD) & late
        first = trained(schema, known(CLEAN_DAYS), registry, args.seed)
        gated = ungated = first
        counts = f"{feeding.height:,} fed, {strike.height:,} in the strike"
        print(f"{frame.height:,} payments of {args.cards:,} cards; {counts}")
        print("\n| Monday | fed so far | votes | gate | strike found | other fraud found | alerts |")
        print("|---|---|---|---|---|---|---|")
        tell("first", first, whole, struck, other, late, "", "", "")
        for monday in range(1, args.mondays + 1):
            until = CLEAN_DAYS + WEEK * monday  # the day is a week later, the label delay is over for these rows
            history = known(until)
            ungated = trained(schema, history, registry, args.seed + monday)
            found = compare(gated, ungated, history, history)
            verdict = judge(found)
            fed = str(int((feeding.filter(day < until)).height))
            tell(
                str(monday), ungated, whole, struck, other, late,
                fed, f"{found.won} : {found.lost}", "promoted" if verdict.passed else "not",
            )  # fmt: skip
            gated = ungated if verdict.passed else gated
        tell("with the gate", gated, whole, struck, other, late, "", "", "")
        tell("without", ungated, whole, struck, other, late, "", "", "")


def trained(schema: TransactionSchema, history: History, registry: Registry, seed: int) -> Scorer:
    """A version trained on this history."""
    job = TrainingJob(
        schema, FitOptions(hidden=(32,), members=1, steps=600), Policy(name="alert-rate", value=0.01),
        label_delay="0d", seed=seed,
    )  # fmt: skip
    return Scorer.load(train(job, history, registry)[1], threads=2)


def tell(
    title: str,
    scorer: Scorer,
    whole: History,
    struck: np.ndarray[tuple[int], np.dtype[np.bool_]],
    other: np.ndarray[tuple[int], np.dtype[np.bool_]],
    late: np.ndarray[tuple[int], np.dtype[np.bool_]],
    *more: str,
) -> None:
    """A line of the table."""
    found = alerts(scorer, whole)
    fed, won, verdict = more
    shares = [f"{found[rows].mean():.0%}" for rows in (struck, other)]
    shares.append(f"{found[late & ~struck & ~other].mean():.2%}")
    print(f"| {title} | {fed} | {won} | {verdict} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
