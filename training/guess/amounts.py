"""How much was paid, in which currency, and which rows are refunds."""

from __future__ import annotations

import re

import polars as pl

from models.schema import AmountColumn, CategoricalColumn, Column, CurrencyColumn
from training.guess import names
from training.guess.facts import Facts
from training.guess.money import Money, find_money
from training.guess.table import Guess, Table, best

_LARGEST = 1e9
#: Shares of amounts below zero: up to the first they are refunds, from the second on payments are.
_REFUNDS, _PAYMENTS = 0.3, 0.6
_CODE = r"^(?:[A-Z]{3}|[a-z]{3}|[0-9]{3})$"


def find_amount(table: Table) -> None:
    """Take the amount, its currency and its direction."""
    _currency(table)
    if guess := _pair(table):
        table.take(guess, *guess.reads)
        return
    chosen = best(
        table.candidates(_is_amount),
        lambda facts: names.is_any(
            facts.name, ("amount", "amt", "transaction amount", "tx amount", "betrag", "value", "total")
        ),
        lambda facts: names.has(facts.name, ("amount", "amt", "betrag", "montant", "importe")),
        lambda facts: not names.has(facts.name, ("authorized", "authorised", "net", "gross")),
        lambda facts: facts.missing == 0,
    )
    if chosen is None:
        return
    _take(table, chosen)


def _is_amount(facts: Facts) -> bool:
    named = names.has(facts.name, names.AMOUNT) and not names.has(facts.name, (*names.NOT_THE_AMOUNT, *names.LATER))
    return named and facts.distinct > 1 and find_money(facts.present) is not None


def _take(table: Table, facts: Facts) -> None:
    money = find_money(facts.present)
    assert money is not None
    amounts = money.form.column(facts.present)
    below = int((amounts < 0).sum()) / len(amounts)
    reason = "named as the amount"
    if not money.plain:
        reason += f", written with {_told(money)}"
    minor = facts.digits_only and (facts.leading_zeros or names.has(facts.name, ("cents", "minor", "pence")))
    if minor:
        reason += "; whole numbers in minor units, so 1234 means 12.34"
    flip = below > _PAYMENTS
    refunds = 0 < below <= _REFUNDS
    if flip:
        reason += "; most are below zero, so payments are: the sign is turned round"
    if refunds:
        reason += f"; {below:.1%} are below zero: taken for refunds, told apart by their direction"
    column = _column(money, nullable=facts.missing > 0).model_copy(
        update={"scale": 2 if minor else 0, "flip": flip, "absolute": refunds, "unit": _unit(table, money, facts)}
    )
    if _REFUNDS < below <= _PAYMENTS or (flip and bool((amounts > 0).any())):
        column = column.model_copy(update={"minimum": -_LARGEST})
    table.take(Guess(facts.name, column, reason, "likely", (facts.name,)))
    if refunds:
        direction = CategoricalColumn(derive="direction")
        reason = "a refund is another thing than a small payment"
        table.take(Guess(table.free_name("direction", "amount_direction"), direction, reason, "likely", (facts.name,)))


def _column(money: Money, *, nullable: bool = False) -> AmountColumn:
    return AmountColumn(
        transform="signed-log",
        nullable=nullable,
        minimum=0.0,
        maximum=_LARGEST,
        decimal=money.form.decimal,  # type: ignore[arg-type]
        thousands=money.form.thousands,  # type: ignore[arg-type]
        marks=money.form.marks,
        negative=money.form.negative,
    )


def _unit(table: Table, money: Money, facts: Facts) -> str:
    """The currency, where a column, the sign beside the numbers or the name of the column says it."""
    for guess in table.find(CurrencyColumn):
        assert isinstance(guess.column, CurrencyColumn)
        return guess.column.code.upper()
    said = re.search(r"\b[A-Z]{3}\b", facts.name)
    return money.currency or (said[0] if said and said[0] not in ("TX", "AMT") else "")


def _told(money: Money) -> str:
    parts = [f"{money.symbol}" if money.symbol else "", "a decimal comma" if money.form.decimal == "," else ""]
    parts += ["marks between thousands" if money.form.thousands else "", "negative amounts" if money.negative else ""]
    return ", ".join(part for part in parts if part)


def _pair(table: Table) -> Guess | None:
    """Debit and credit in two columns."""
    debit, credit = (_side(table, phrases) for phrases in (names.DEBIT, names.CREDIT))
    if debit is None or credit is None or debit is credit or (debit.missing == 0 and credit.missing == 0):
        return None
    money = find_money(pl.concat([debit.present, credit.present.alias(debit.present.name)]))
    if money is None:
        return None
    column = _column(money).model_copy(update={"debit": debit.name, "credit": credit.name, "minimum": -_LARGEST})
    reason = f"{debit.name} less {credit.name}"
    return Guess(table.free_name("amount", "paid"), column, reason, "likely", (debit.name, credit.name))


def _side(table: Table, phrases: tuple[str, ...]) -> Facts | None:
    found = table.candidates(lambda f: names.has(f.name, phrases) and find_money(f.present) is not None)
    return found[0] if found else None


def _currency(table: Table) -> None:
    """One currency, or the commonest with rates for the others."""
    found = table.candidates(lambda f: names.has(f.name, names.CURRENCY) and f.missing == 0 and f.matches(_CODE))
    for facts in found[:1]:
        code = str(facts.values[0])
        if facts.distinct == 1:
            table.take(Guess(facts.name, CurrencyColumn(code=code), f"every row is in {code}", "sure"))
            return
        amount = best(table.candidates(_is_amount), lambda f: names.is_any(f.name, ("amount", "amt")))
        rates = _estimated_rates(facts, amount, code, table)
        column: Column = CurrencyColumn(code=code, rates=rates)
        reason = (
            f"{facts.distinct} currencies; the rates are ESTIMATED so that a usual payment is worth the same in each: "
            "put in the real ones"
        )
        table.take(Guess(facts.name, column, reason, "doubtful"))


def _estimated_rates(facts: Facts, amount: Facts | None, code: str, table: Table) -> dict[str, float]:
    """What makes the median payments of all currencies equal; nothing is known of the real rates."""
    others = [str(value) for value in facts.values if value != code]
    money = find_money(amount.present) if amount is not None and amount.missing == 0 else None
    if amount is None or money is None:
        return dict.fromkeys(others, 1.0)
    known = pl.DataFrame({"code": facts.present, "amount": money.form.column(amount.present).abs()})
    medians = dict(known.group_by("code").agg(pl.col("amount").median()).iter_rows())
    return {other: float(f"{medians[code] / medians[other]:.4g}") if medians[other] else 1.0 for other in others}
