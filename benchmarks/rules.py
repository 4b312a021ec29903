"""What lists and rules add to a payment: microseconds on one core, by the number of rules and of listed cards.

    python benchmarks/rules.py                              # 100 rules of four clauses, 100,000 cards
    python benchmarks/rules.py --rules 10 --times 100       # a tiny run

"rules": from the recorded body to the ruling, as the ledger does it. Three columns: the fastest of five rounds, the
median round, and a round in which one rule of them fails, so that each is asked alone. Times are of the thread's
processor, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import statistics
import time

from pydantic_core import from_json, to_json

from app.rules.conditions import Conditions
from app.rules.document import parse
from app.rules.facts import Opinion
from app.rules.rulebook import Rulebook
from app.store.records import ListChange
from models.schema import load_schema

ROUNDS = 5
_FAILS = "1 / int(amount - 120.0) == 1"
_SENT = {
    "card_id": "card-000042",
    "merchant_id": "merchant-7",
    "category": "digital",
    "channel": "ecommerce",
    "country": "DE",
    "currency": "EUR",
}


def rulebook(rules: int, cards: int, *, failing: bool = False) -> Rulebook:
    """Rules of which few hold, and so many cards on a list."""
    schema = load_schema("payments")
    conditions = [
        f'amount > {i % 100}.0 && country != "NL" && card.count_1h >= {1 + i % 2}.0 && score > 0.{90 + i % 10}'
        for i in range(rules)
    ]
    if failing:
        conditions[-1] = _FAILS
    told = (f"[[rule]]\nname = 'r{i}'\noutcome = 'review'\nwhen = '{one}'\n" for i, one in enumerate(conditions))
    found = Rulebook(schema)
    if rules:
        found.take(Conditions(parse("format = 1\n" + "\n".join(told), "benchmark"), schema))
    found.lists.apply([ListChange(i, 0, "block", "card_id", f"card-{i:06}") for i in range(1_000, 1_000 + cards)])
    return found


def microseconds(book: Rulebook, times: int) -> list[float]:
    """Per payment, of each round."""
    schema = load_schema("payments")
    body = to_json(_SENT)
    numbers = [120.0] + [2.0] * (len(schema.numeric) - 1)
    opinion = Opinion(0.97, 0.95, 12.0, "review", "v1")
    rounds = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(times):
            book.rule(from_json(body), numbers, 1_767_225_600_000_000, 1_767_225_600_000_000, opinion)
        rounds.append((time.thread_time() - begun) / times * 1e6)
    return sorted(rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--cards", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=2_000)
    given = parser.parse_args()
    print(f"{'':34}{'fastest':>10}{'median':>10}{'one fails':>11}   µs a payment")
    for rules, cards in ((0, given.cards), (given.rules // 10, 0), (given.rules, 0), (given.rules, given.cards)):
        plain = microseconds(rulebook(rules, cards), given.times)
        fails = microseconds(rulebook(rules, cards, failing=True), given.times)[0] if rules else float("nan")
        named = f"{rules:,} rules, {cards:,} cards listed"
        print(f"{named:34}{plain[0]:10.1f}{statistics.median(plain):10.1f}{fails:11.1f}")


if __name__ == "__main__":
    main()
