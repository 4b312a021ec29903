"""Tables in the shapes that people have: what well-known exports look like, made up, small, with 3 % fraud."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.pan import luhn_valid

ROWS = 1_500
Columns = dict[str, Any]


class Traffic:
    """Sixty days of payments that every shape tells in its own way."""

    def __init__(self) -> None:
        self.random = random = np.random.default_rng(7)
        self.seconds = np.sort(random.integers(0, 60 * 86_400, ROWS))
        self.at = [str(at) for at in np.datetime64("2025-03-01T00:00:00") + self.seconds.astype("timedelta64[s]")]
        self.fraud = random.random(ROWS) < 0.03
        self.amount = np.round(random.lognormal(3.5, 0.8, ROWS) * (1 + 2 * self.fraud), 2)
        self.card = random.integers(0, 60, ROWS)
        self.merchant = random.integers(0, 50, ROWS)
        self.numbers = [_card_number(random) for _ in range(60)]

    def pick(self, *values: Any) -> list[Any]:
        """One of the values for each row, None among them where one is None."""
        return [values[i] for i in self.random.integers(0, len(values), ROWS)]

    def flags(self, fraud: str, legitimate: str) -> list[str]:
        """The label in words."""
        return [fraud if one else legitimate for one in self.fraud]

    def written(self, form: str, *, days: int = 0) -> list[str]:
        """The times, or so many days after them, as strftime writes them."""
        times = pl.Series(self.at).str.to_datetime("%Y-%m-%dT%H:%M:%S") + timedelta(days=days)
        return times.dt.strftime(form).to_list()


def _card_number(random: np.random.Generator) -> str:
    first = "4" + "".join(map(str, random.integers(0, 10, 14)))
    return next(first + str(last) for last in range(10) if luhn_valid(first + str(last)))


def sparkov(t: Traffic) -> Columns:
    """Kaggle's "Credit Card Transactions Fraud Detection" (Sparkov)."""
    return {
        "": range(ROWS),
        "trans_date_trans_time": t.written("%Y-%m-%d %H:%M:%S"),
        "cc_num": [t.numbers[i] for i in t.card],
        "merchant": [f"fraud_Shop {i}" for i in t.merchant],
        "category": t.pick("grocery_pos", "gas_transport", "misc_net"),
        "amt": t.amount,
        "first": [f"First{i}" for i in t.card],
        "last": [f"Last{i}" for i in t.card],
        "gender": t.pick("M", "F"),
        "zip": 10_000 + t.card * 37,
        "lat": np.round(36 + t.card / 10 + 0.01, 4),
        "long": np.round(-90 + t.card / 10 + 0.01, 4),
        "city_pop": 100 + t.card * 991 % 7_000,
        "dob": [f"19{40 + i}-03-1{i % 9}" for i in t.card],
        "trans_num": [uuid.UUID(bytes=t.random.bytes(16)).hex for _ in range(ROWS)],
        "unix_time": 1_740_787_200 + t.seconds,
        "merch_lat": np.round(t.random.normal(36, 2, ROWS), 6),
        "merch_long": np.round(t.random.normal(-90, 5, ROWS), 6),
        "is_fraud": t.fraud.astype(int),
    }


def paysim(t: Traffic) -> Columns:
    """PaySim: mobile money, in steps of an hour."""
    return {
        "step": 1 + t.seconds // 3_600,
        "type": t.pick("PAYMENT", "TRANSFER", "CASH_OUT", "DEBIT"),
        "amount": t.amount,
        "nameOrig": [f"C{1_000_000 + i * 77}" for i in range(ROWS)],
        "oldbalanceOrg": np.round(t.amount * t.random.random(ROWS) * 9, 2),
        "newbalanceOrig": np.round(t.amount * t.random.random(ROWS), 2),
        "nameDest": [f"M{i}" for i in t.merchant],
        "isFraud": t.fraud.astype(int),
        "isFlaggedFraud": [0] * ROWS,
    }


def tabformer(t: Traffic) -> Columns:
    """IBM's TabFormer: user and card, year, month, day and time, signed dollars."""
    return {
        "User": t.card // 3,
        "Card": t.card % 3,
        "Year": t.written("%Y"),
        "Month": t.written("%-m"),
        "Day": t.written("%-d"),
        "Time": t.written("%H:%M"),
        "Amount": [f"${a:.2f}" if i % 20 else f"$-{a:.2f}" for i, a in enumerate(t.amount)],
        "Use Chip": t.pick("Swipe Transaction", "Chip Transaction", "Online Transaction"),
        "Merchant Name": [-4_000_000_000_000_000_001 + i * 161_616_161_616_161_616 for i in t.merchant],
        "Merchant State": t.pick("CA", "NY", None),
        "Zip": t.pick("91750.0", "91754.0", None),
        "MCC": t.pick(5300, 5411, 5651, 5912),
        "Errors?": t.pick("Bad PIN", None, None),
        "Is Fraud?": t.flags("Yes", "No"),
    }


def banksim(t: Traffic) -> Columns:
    """BankSim: steps of a day, texts in quotation marks of their own."""
    return {
        "step": t.seconds // 86_400,
        "customer": [f"'C{i}'" for i in t.card],
        "age": t.pick("'1'", "'2'", "'U'"),
        "gender": t.pick("'M'", "'F'"),
        "zipcodeOri": ["'28007'"] * ROWS,
        "merchant": [f"'M{i}'" for i in t.merchant],
        "category": t.pick("'es_food'", "'es_tech'"),
        "amount": t.amount,
        "fraud": t.fraud.astype(int),
    }


def ieee_cis(t: Traffic) -> Columns:
    """Kaggle's IEEE-CIS: seconds since an unknown start, columns without a meaning."""
    return {
        "TransactionID": 2_987_000 + np.arange(ROWS),
        "isFraud": t.fraud.astype(int),
        "TransactionDT": 86_400 + t.seconds,
        "TransactionAmt": t.amount,
        "ProductCD": t.pick("W", "C", "H"),
        "card1": 1_000 + t.card,
        "card4": t.pick("visa", "mastercard"),
        "addr1": t.pick(315.0, 204.0, None),
        "dist1": t.pick(19.0, 287.0, 3.0, None, None),
        "P_emaildomain": t.pick("gmail.com", "yahoo.com", None),
        "C1": t.pick(1.0, 2.0, 7.0),
        "M1": t.pick("T", "F", None),
    }


def account_opening(t: Traffic) -> Columns:
    """Bank Account Fraud (BAF): applications, -1 for missing."""
    return {
        "fraud_bool": t.fraud.astype(int),
        "income": np.round(t.random.random(ROWS), 1),
        "name_email_similarity": t.random.random(ROWS),
        "prev_address_months_count": np.where(t.random.random(ROWS) < 0.7, -1, t.random.integers(5, 300, ROWS)),
        "customer_age": t.pick(20, 30, 40, 50),
        "payment_type": t.pick("AA", "AB", "AC"),
        "credit_risk_score": t.random.integers(-100, 350, ROWS),
        "email_is_free": t.pick(0, 1),
        "bank_months_count": np.where(t.random.random(ROWS) < 0.2, -1, t.random.integers(1, 30, ROWS)),
        "device_os": t.pick("linux", "windows", "other"),
    }


def stripe(t: Traffic) -> Columns:
    """A payments export of Stripe's dashboard: no label, but disputes."""
    fraud = [("fraudulent" if i % 4 else "product_not_received") if one else None for i, one in enumerate(t.fraud)]
    return {
        "id": [f"ch_{uuid.UUID(bytes=t.random.bytes(16)).hex[:24]}" for _ in range(ROWS)],
        "Description": [None] * ROWS,
        "Created (UTC)": t.written("%Y-%m-%d %H:%M"),
        "Amount": t.amount,
        "Amount Refunded": np.where(t.random.random(ROWS) < 0.03, t.amount, 0.0),
        "Currency": ["usd"] * ROWS,
        "Converted Amount": t.amount,
        "Fee": np.round(t.amount * 0.029 + 0.3, 2),
        "Status": t.pick("Paid", "Paid", "Refunded", "Failed"),
        "Customer ID": [f"cus_{i:06x}" for i in t.card],
        "Card Last4": [f"{i * 131:04d}" for i in t.card],
        "Card Brand": t.pick("Visa", "MasterCard"),
        "Card Exp Month": 1 + t.card % 12,
        "Card Fingerprint": [f"fp{i:014x}" for i in t.card],
        "Card Issue Country": t.pick("US", "GB"),
        "Disputed Amount": np.where(t.fraud, t.amount, 0.0),
        "Dispute Date (UTC)": [
            at if one else None for at, one in zip(t.written("%Y-%m-%d %H:%M", days=5), t.fraud, strict=True)
        ],
        "Dispute Reason": fraud,
    }


def adyen(t: Traffic) -> Columns:
    """A report of Adyen's: local times with their zone beside them, chargebacks as a type of row."""
    return {
        "Merchant Account": t.pick("AcmeEU", "AcmeUS"),
        "Psp Reference": [str(8_815_000_000_000_000 + i * 7_919) for i in range(ROWS)],
        "Payment Method": t.pick("visa", "mc"),
        "Creation Date": t.written("%Y-%m-%d %H:%M:%S"),
        "TimeZone": ["CET"] * ROWS,
        "Type": t.flags("Chargeback", "Settled"),
        "Currency": ["EUR"] * ROWS,
        "Value": t.amount,
        "Risk Score": t.random.integers(0, 100, ROWS),
        "Shopper Reference": [f"s{i}" for i in t.card],
        "Shopper Country": t.pick("DE", "NL"),
        "Issuer Bin": 400_000 + t.card,
    }


def braintree(t: Traffic) -> Columns:
    """A transaction search of Braintree's: American dates, masked card numbers."""
    return {
        "Transaction ID": [f"t{i:06x}" for i in range(ROWS)],
        "Transaction Status": t.pick("settled", "voided"),
        "Created Datetime": t.written("%m/%d/%Y %H:%M:%S"),
        "Created Timezone": ["CDT"] * ROWS,
        "Settlement Date": t.written("%m/%d/%Y"),
        "Currency ISO Code": ["USD"] * ROWS,
        "Amount Authorized": t.amount,
        "Customer ID": [str(1_000_000_000 + i) for i in t.card],
        "Credit Card Number": [f"{t.numbers[i][:6]}******{t.numbers[i][-4:]}" for i in t.card],
        "First Six of Credit Card": [t.numbers[i][:6] for i in t.card],
        "Last Four of Credit Card": [t.numbers[i][-4:] for i in t.card],
        "Card Type": t.pick("Visa", "MasterCard"),
        "Fraud Detected": t.flags("true", "false"),
    }


def iso8583(t: Traffic) -> Columns:
    """Data elements of ISO 8583: no year, amounts in minor units, codes with leading zeros."""
    return {
        "DE2": [f"{t.numbers[i][:6]}******{t.numbers[i][-4:]}" for i in t.card],
        "DE3": t.pick("000000", "010000"),
        "DE4": [f"{round(a * 100):012d}" for a in t.amount],
        "DE7": t.written("%m%d%H%M%S"),
        "DE11": [f"{i * 7 % 1_000_000:06d}" for i in range(ROWS)],
        "DE18": t.pick("5411", "5812"),
        "DE22": t.pick("051", "071"),
        "DE41": [f"TERM{i:04d}" for i in t.merchant],
        "DE42": [f"MERCH{i:010d}" for i in t.merchant],
        "DE49": ["978"] * ROWS,
        "fraud": t.fraud.astype(int),
    }


def statement(t: Traffic) -> Columns:
    """A German bank statement: day alone, decimal comma, payments below zero."""
    return {
        "Buchungstag": t.written("%d.%m.%Y"),
        "Wertstellung": t.written("%d.%m.%Y"),
        "Auftraggeber / Begünstigter": [f"Händler {i}" for i in t.merchant],
        "Verwendungszweck": [f"Zahlung {i}" for i in range(ROWS)],
        "Betrag (EUR)": [f"{-a:.2f}".replace(".", ",") for a in t.amount],
    }


def debit_credit(t: Traffic) -> Columns:
    """A statement with debit and credit in two columns."""
    return {
        "Date": t.written("%d/%m/%Y %H:%M"),
        "Payee": [f"Shop {i}" for i in t.merchant],
        "Debit": [f"{a:,.2f}" if i % 9 else None for i, a in enumerate(t.amount * 40)],
        "Credit": [None if i % 9 else f"{a:,.2f}" for i, a in enumerate(t.amount * 40)],
        "Closing Balance": t.amount,
    }


def events(t: Traffic) -> Columns:
    """Events as cloud fraud detectors want them (EVENT_*, ENTITY_*)."""
    return {
        "EVENT_ID": [str(uuid.UUID(bytes=t.random.bytes(16))) for _ in range(ROWS)],
        "EVENT_TIMESTAMP": [f"{at}Z" for at in t.at],
        "ENTITY_TYPE": ["customer"] * ROWS,
        "ENTITY_ID": [f"e{i}" for i in t.card],
        "EVENT_LABEL": t.flags("fraud", "legit"),
        "LABEL_TIMESTAMP": [f"{at}Z" for at in t.at],
        "card_bin": 400_000 + t.card,
        "billing_postal": [f"{i * 37 % 100_000:05d}" for i in range(ROWS)],
        "order_price": t.amount,
        "merchant": [f"m{i}" for i in t.merchant],
    }


def json_lines(t: Traffic) -> Columns:
    """Objects of JSON, one a line (Capital One's challenge)."""
    return {
        "accountNumber": [str(700_000_000 + i * 7) for i in t.card],
        "creditLimit": t.pick(5_000, 10_000, 2_500),
        "transactionDateTime": t.at,
        "transactionAmount": t.amount,
        "merchantName": [f"Ride {i}" for i in t.merchant],
        "acqCountry": t.pick("US", "CAN", None),
        "posEntryMode": t.pick("02", "05", "09"),
        "merchantCategoryCode": t.pick("rideshare", "food", "online_retail"),
        "currentExpDate": [f"{1 + i % 12:02d}/20{26 + i % 6}" for i in range(ROWS)],
        "accountOpenDate": [f"2014-01-0{1 + i % 9}" for i in t.card],
        "cardCVV": t.random.integers(100, 999, ROWS),
        "cardLast4Digits": t.card * 131,
        "cardPresent": t.pick(True, False),
        "isFraud": t.fraud,
    }


SHAPES: dict[str, Callable[[Traffic], Columns]] = {
    shape.__name__: shape
    for shape in (
        sparkov, paysim, tabformer, banksim, ieee_cis, account_opening, stripe, adyen, braintree, iso8583, statement,
        debit_credit, events, json_lines,
    )
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """Write the table of a shape; the statement as a bank does it, JSON as lines, all others as CSV."""
    columns = {key: list(values) for key, values in SHAPES[name](Traffic()).items()}
    plain = {
        key: [value.item() if isinstance(value, np.generic) else value for value in values]
        for key, values in columns.items()
    }
    if name == "json_lines":
        path = folder / f"{name}.jsonl"
        rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
        return path
    path = folder / f"{name}.csv"
    frame = pl.DataFrame(plain, strict=False)
    if name == "statement":
        text = frame.write_csv(separator=";")
        path.write_bytes(f"Kontoauszug Nr. 7;;;;\n\n{text}Summe;;;;1,00\n".encode("cp1252"))
    else:
        frame.write_csv(path)
    return path
