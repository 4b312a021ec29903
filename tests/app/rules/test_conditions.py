"""Rules as people write them, right and wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from app.rules.conditions import Conditions
from app.rules.document import parse
from app.rules.facts import Facts, Opinion
from app.rules.lists import Hit
from app.rules.source import read_rules
from models.errors import InvalidInput
from models.schema import TransactionSchema, load_schema

OPINION = Opinion(0.97, 0.95, 12.5, "review", "v1")
SENT = {"card_id": "c-1", "merchant_id": "m-1", "category": "travel", "country": None, "channel": "web"}


@pytest.fixture(scope="module")
def schema() -> TransactionSchema:
    return load_schema("payments")


def toml(*conditions: str) -> str:
    rules = (f"[[rule]]\nname = 'r{i}'\noutcome = 'review'\nwhen = '''{one}'''" for i, one in enumerate(conditions))
    return "format = 1\n" + "\n".join(rules)


def holding(schema: TransactionSchema, *conditions: str) -> tuple[list[str], dict[str, str]]:
    """The conditions that hold for one transaction, and those that cannot be told."""
    rules = Conditions(parse(toml(*conditions), "here"), schema)
    numbers = [0.0] * len(schema.numeric)
    numbers[schema.numeric.index("amount")] = 600.0
    numbers[schema.numeric.index("card.sum_1h")] = math.nan
    time = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
    values = Facts(schema).of(rules.names, SENT, numbers, time, OPINION, [Hit("watch", "merchant_id")])
    found = rules.of(values)
    return [conditions[int(rule.name[1:])] for rule in found.matching], dict(found.failed)


TRUE = (
    'amount > 500.0 && category == "travel"  // dear',
    'country == "" && !(country in ["DE", "FR"])',
    "!(card.sum_1h > 1.0) && !(card.sum_1h < 1.0)",
    "score >= threshold && is_anomaly && reconstruction_error > 12.0",
    'model_decision == "review" && model_version == "v1"',
    '"merchant_id" in watch && size(block) == 0',
    'time.getHours("UTC") == 0 && time >= timestamp("2026-01-01T00:00:00Z")',
    'channel.matches("^(web|app)$") && [1, 2].exists(n, double(n) * 400.0 > amount)',
)


def test_what_holds_holds_in_one_evaluation_and_in_many(schema: TransactionSchema) -> None:
    assert holding(schema, *TRUE) == (list(TRUE), {})
    negated = [f"!({one.partition('//')[0]})" for one in TRUE]
    assert holding(schema, *negated) == ([], {})
    held, failed = holding(schema, "1 / 0 == 1", *TRUE, "int(channel) > 5")
    assert held == list(TRUE)  # a rule that fails takes none with it
    assert failed == {"r0": "divide by zero", f"r{len(TRUE) + 1}": failed[f"r{len(TRUE) + 1}"]}


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("amount > 500", r"rule r0: when, line 1, column 8: .*numbers are written with a point here, 500\.0 and not"),
        ("amuont > 500.0", r"there is no amuont; did you mean amount\?"),
        ("card.summ_1h > 500.0", r"there is no card\.summ_1h; did you mean card\.sum_1h\?"),
        ("zzz > 500.0", "there is no zzz; 'counterfoil rules names' lists"),
        ("true &&\n amount >", "rule r0: when, line 2, column 10: Syntax error: mismatched input '<EOF>'$"),
        ("amount", "rule r0: when: expected a condition, true or false; this is DOUBLE"),
        ("amount.startsWith('x')", "found no matching overload"),
        ("(" * 200 + "true" + ")" * 200, "nested too deeply, more than 32 levels"),
        ("true) || (true", "Syntax error"),
    ],
)
def test_a_wrong_condition_is_refused_by_its_rule(schema: TransactionSchema, condition: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Conditions(parse(toml(condition), "rules.toml"), schema)


def test_a_rule_that_would_hold_up_payments_is_refused(schema: TransactionSchema) -> None:
    many = "[" + ", ".join(["1"] * 90) + "]"
    with pytest.raises(InvalidInput, match=r"rule r1: takes .* ms for one transaction, more than 1 ms"):
        Conditions(parse(toml("true", f"{many}.all(a, {many}.all(b, {many}.all(c, a + b + c > 0)))"), "x"), schema)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rule", "rules.toml: not TOML"),
        ("format = 2\n[[rule]]", "format: expected format = 1"),
        ("format = 1", "rule: is missing"),
        ("format = 1\nrule = []", "expected 1 to 500 rules"),
        (toml("true") + "\ncolour = 'red'", "rule r0: colour: there is no such key"),
        (toml("true").replace("review", "stop"), "rule r0: outcome: Input should be 'approve', 'review' or 'decline'"),
        (toml("true").replace("'r0'", "'Über'"), "rule number 1: name: expected 1 to 64 of a-z"),
        (toml("true", "true").replace("r1", "r0"), "rule r0: 2 rules have this name"),
        (toml("card_id == '4111111111111111'"), "looks like a card number; put cards on a list"),
        ("format = 1\n[[rule]]\nname = 'a'\noutcome = 'review'", "rule a: when: is missing"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, schema: TransactionSchema, text: str, told: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=told) as caught:
        read_rules(path, schema)
    assert "4111" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, schema: TransactionSchema) -> None:
    path = tmp_path / "rules.toml"
    with pytest.raises(InvalidInput, match="no such file"):
        read_rules(path, schema)
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read_rules(path, schema)
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(InvalidInput, match="larger than"):
        read_rules(path, schema)


def test_names_that_cannot_be_are_changed(schema: TransactionSchema) -> None:
    columns = {"score": schema.columns["latitude"], "in": schema.columns["category"], "a b": schema.columns["country"]}
    odd = schema.model_copy(update={"columns": {**columns, **schema.columns}}).checked()
    kinds = Facts(odd).kinds
    assert (kinds["score_"], kinds["in_"], kinds["a_b"], kinds["score"]) == ("number", "text", "text", "number")
    Conditions(parse(toml('score_ > 0.5 && in_ == "x" && a_b != "" && score > 0.0 && time > time'), "x"), odd)
