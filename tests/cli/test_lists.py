"""``counterfoil lists`` and ``rules``: what is listed, checked and tried, and what is told of mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.service import create_app
from app.settings import Settings
from models.scorer import Scorer
from tests.command_line import Cli

RULES = """format = 1
[[rule]]
name = "dear"
outcome = "review"
when = 'amount > 100.0'
"""


def test_values_are_listed_shown_and_taken_off(cli: Cli, model: Path) -> None:
    assert cli("lists", "add", "block", "merchant_id", "m-1").code == 0
    added = cli("lists", "add", "watch", "card_id", "c-1", "c-[2]", "--until", "30d", "--note", "why", "--by", "alice")
    assert (added.code, added.out) == (0, "watch: 2 of 2 values put on, or given another end or note\n")
    again = cli("lists", "add", "block", "merchant_id", "m-1")
    assert again.out.startswith("block: 0 of 1 values")
    rows = cli("lists", "show").out.splitlines()
    assert re.search(r"watch +card_id +c-\[2\] +[-\d]+ [\d:]+ +[-\d]+ [\d:]+ +alice +why", rows[1])
    assert re.search(r"block +merchant_id +m-1 +[-\d]+ [\d:]+ +no end +\S+", rows[3])
    assert len(cli("lists", "show", "--list", "watch", "--column", "card_id").out.splitlines()) == 3
    removed = cli("lists", "remove", "watch", "card_id", "c-1", "c-3")
    assert (removed.code, removed.out) == (0, "watch: 1 of 2 values taken off\n")
    assert "c-1 " not in cli("lists", "show", "--list", "watch").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("block", "amount", "5"), "column: amount is no column with texts; expected one of card_id"),
        (("block", "card_id", "4111111111111111"), "values.0: looks like a card number"),
        (("snooze", "card_id", "c-1"), "until: missing: who is snoozed is snoozed until a time, e.g. 30d"),
        (("block", "card_id", "c-1", "--until", "soon"), "until: expected a time to come"),
    ],
)
def test_what_cannot_be_listed_is_told(cli: Cli, model: Path, arguments: tuple[str, ...], told: str) -> None:
    found = cli("lists", "add", *arguments)
    assert found.code == 2 and told in found.err and "4111" not in found.err


def test_a_running_service_changes_its_lists_itself(cli: Cli, model: Path, tiny_scorer: Scorer) -> None:
    url = f"sqlite:///{cli.folder / 'own.db'}"
    app = create_app(Settings(artifacts=model.parent, database_url=url), tiny_scorer)
    try:
        found = cli("lists", "add", "block", "card_id", "c-1", "--database", url)
        assert found.code == 2 and "POST /v1/lists/add" in found.err
        assert "Nothing is listed" in cli("lists", "show", "--database", url).out
    finally:
        app.state.serving.close()


def test_rules_are_checked_and_tried(cli: Cli, model: Path, tiny_csv: Path) -> None:
    file = cli.folder / "new.toml"
    file.write_text(RULES.replace("amount", "amuont"), encoding="utf-8")
    for command in ("check", "test"):
        wrong = cli("rules", command, file)
        assert wrong.code == 2 and "rule dear: when, line 1, column 1: there is no amuont; did you mean" in wrong.err
    file.write_text(RULES, encoding="utf-8")
    assert re.fullmatch(r".*new\.toml: 1 rules, version [0-9a-f]{12}\n", cli("rules", "check", file).out)
    assert re.search(r"^ amount +number *$", cli("rules", "names").out, re.M)
    assert cli("score", tiny_csv, "--out", "scored.csv", "--state", "live", "--record").code == 0
    found = cli("rules", "test", file, "--since", "1d")
    assert found.code == 0, found.err
    assert re.match(r"1,\d{3} decisions of 8 days, 0 known as fraud\n", found.out)
    counts = [re.split(r"\s{2,}", line.strip()) for line in found.out.splitlines()]
    model_alone, ruled = (next(row for row in counts if row[0] == name) for name in NAMES)
    assert int(ruled[1].replace(",", "")) > int(model_alone[1].replace(",", ""))
    dear = next(row for row in counts if row[0] == "dear")
    assert dear[1] == "review" and dear[2] == dear[-1]  # nothing else had a say
    assert cli("rules", "test", file, "--since", "soon").code == 2


NAMES = ("the model alone", "with rules and lists")
