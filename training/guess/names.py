"""What the name of a column says: its words, and the roles they speak for, in the languages of the exports we know."""

from __future__ import annotations

import re
import unicodedata

#: Letters that have no accent to take away, and the endings of compounds that are words of their own.
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "ł": "l", "Ł": "L", "đ": "d", "ð": "d"})
_COMPOUND = re.compile(r"(?<=[A-Za-z]{3})(datum|dato|zeit|betrag|belop|nummer|nr|konto)(?![a-z])")
#: Words of Chinese and Japanese headers, the longer ones before their parts.
_SIGNS = {
    "流水号": "id", "订单号": "order id", "取引番号": "transaction id", "注文番号": "order id", "时间": "time",
    "時間": "time", "日期": "date", "日時": "time", "日付": "date", "金额": "amount", "金額": "amount",
    "卡号": "card number", "カード番号": "card number", "カード": "card", "商户": "merchant", "加盟店": "merchant",
    "店舗": "merchant", "客户": "customer", "顧客": "customer", "会員": "member", "会员": "member", "用户": "user",
    "账号": "account", "口座": "account", "终端": "terminal", "端末": "terminal", "编号": "id", "番号": "id",
    "交易": "transaction", "取引": "transaction", "类型": "type", "種別": "type", "国家": "country", "国": "country",
    "币种": "currency", "货币": "currency", "通貨": "currency", "是否": "is", "欺诈": "fraud", "不正": "fraud",
    "余额": "balance", "残高": "balance", "退款": "refund", "返金": "refund", "手续费": "fee", "手数料": "fee",
    "姓名": "full name", "氏名": "full name", "地址": "address", "住所": "address", "邮箱": "email",
}  # fmt: skip
_WORD = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")

LABEL = (
    "is fraud", "fraud", "isfraud", "fraudulent", "is fraudulent", "fraud flag", "fraud label", "fraud bool",
    "fraud ind",
    "fraud indicator", "fraud detected", "fraud status", "tx fraud", "event label", "label", "target", "class",
    "outcome",
    "is chargeback", "chargeback", "betrug", "fraude", "confirmed fraud", "fraud yn", "y", "svindel", "bedrageri",
    "petos", "oszustwo", "frode",
)  # fmt: skip
#: Said after the payment by a system or a dispute: never a feature, and a label only where there is no better one.
LATE_LABEL = ("dispute reason", "dispute status", "chargeback reason", "chargeback code", "disputed", "is disputed")
#: What is only known after the payment.
LATER = (
    "refund", "refunded", "dispute", "disputed", "chargeback", "settlement", "settled", "settle", "reversal",
    "reversed",
    "payout", "review", "reviewed", "resolution", "resolved", "investigation", "case", "verdict", "flagged", "alert",
    "newbalance", "new balance", "balance after", "closing balance", "label timestamp", "fee", "saldo", "captured",
    "wertstellung",
    "value date", "posting date", "outcome",
)  # fmt: skip
#: When a label became known.
LABEL_TIME = (
    "label timestamp", "label time", "label date", "label known at", "labelled at", "labeled at", "dispute date",
    "dispute created", "dispute time", "disputed at", "chargeback date", "chargeback time", "chargeback created",
    "fraud date", "fraud reported", "reported at", "report date", "fraud confirmed at", "confirmed at", "reported on",
    "known since",
)  # fmt: skip
SCENARIO = ("scenario", "fraud type", "fraud scenario", "tx fraud scenario", "typology")
ID = (
    "id", "transaction id", "tx id", "txn id", "trans id", "trans num", "transaction number", "payment id",
    "event id", "order id",
    "psp reference", "reference", "rrn", "retrieval reference number", "charge id", "uuid", "transaktions id", "stan",
    "txn ref", "tx ref",
)  # fmt: skip
TIME = (
    "time", "timestamp", "date", "datetime", "ts", "when", "created", "created at", "buchungstag", "datum", "zeit",
    "uhrzeit",
    "fecha", "hora", "heure", "transmission", "dt", "dato", "occurred", "at", "paid at", "de 7", "de 007", "de 12",
)  # fmt: skip
#: Times that are not when the payment was made.
OTHER_TIME = (
    "dob", "birth", "birthday", "open", "opened", "expiry", "expiration", "exp", "expires", "change", "updated",
    "modified",
    "wertstellung", "valuta", "value", "posting", "settlement", "label", "dispute", "refund", "signup", "member",
    "registered", "last",
    "settled", "captured", "payout", "zone", "since", "between",
)  # fmt: skip
AMOUNT = (
    "amount", "amt", "value", "total", "price", "betrag", "summe", "umsatz", "montant", "importe", "sum", "paid",
    "belop", "belopp", "kwota",
    "gross",
    "total collected", "de 4", "de 004", "purchase",
)  # fmt: skip
NOT_THE_AMOUNT = (
    "refunded", "refund", "fee", "tax", "tip", "discount", "balance", "limit", "disputed", "dispute", "net",
    "converted", "average",
    "avg", "count", "num", "mean", "max", "min", "settlement", "velocity", "age",
)  # fmt: skip
DEBIT, CREDIT = (
    ("debit", "soll", "withdrawal", "debit amount", "paid out", "ausgabe"),
    ("credit", "haben", "deposit", "paid in", "einnahme"),
)
CURRENCY = (
    "currency",
    "ccy",
    "curr",
    "wahrung",
    "valuta",
    "valutakode",
    "waluta",
    "devise",
    "moneda",
    "currency code",
    "de 49",
    "de 049",
)
CVV = ("cvv", "cvv 2", "cvc", "cvc 2", "cid", "cav", "security code", "csc", "pin", "pin block")
#: Of a card number only a part.
CARD_PART = ("last 4", "last four", "last4", "first six", "first 6", "bin", "iin", "last 4 digits", "last digits")
#: Values of a status that come after the payment.
LATER_VALUES = ("refund", "dispute", "chargeback", "void", "revers", "settle", "captured", "rueckbuchung")
CODE = (
    "mcc", "code", "zip", "zipcode", "postcode", "postal", "plz", "pos", "entry mode", "terminal", "type", "status",
    "category", "class",
    "mode", "flag", "brand", "country", "state", "region", "bin", "channel", "branch", "network", "addr", "version",
    "level", "group",
    "last 4", "last four", "first six", "issuer", "processing", "condition", "response", "de 3", "de 18", "de 22",
    "de 25",
)  # fmt: skip
#: Of quantities, whatever else the name says.
QUANTITY = ("count", "months", "days", "hours", "minutes", "seconds", "amount", "age", "length", "size", "pop",
            "population", "balance", "limit",
            "score", "velocity", "distance", "dist", "ratio", "rate", "percent", "income")  # fmt: skip
BIRTH = ("dob", "birth", "birthday", "birthdate", "geburtsdatum", "date of birth")
#: Who somebody is, not what a payment is like.
PERSONAL = (
    "first", "last", "first name", "last name", "full name", "surname", "street", "address", "email", "phone", "ssn",
    "iban",
    "verwendungszweck", "url", "user agent",
)  # fmt: skip
LATITUDE, LONGITUDE = ("lat", "latitude"), ("lon", "long", "lng", "longitude")
STEP = ("step", "day", "hour", "tick", "period", "month")
#: Whom a payment belongs to, and who it goes to: the words of each, most telling first.
ENTITIES = {
    "card": ("card", "cc num", "cc", "pan", "karte", "karten", "kort", "tarjeta", "carte", "de 2", "de 002"),
    "customer": ("customer", "client", "user", "shopper", "account", "acct", "kunde", "kunden", "kund", "konto",
                 "cliente",
                 "nameorig",
                 "name orig",
                 "orig", "payer", "sender", "member", "holder", "entity", "entity id", "originator", "nameorg"),
    "merchant": ("merchant", "shop", "store", "seller", "namedest", "name dest", "dest", "payee", "recipient",
                 "beneficiary",
                 "begunstigter", "empfanger", "zahlungsempfanger", "auftraggeber", "handler", "marchand", "comercio",
                 "vendor", "acceptor", "mid", "brukersted", "butikk", "de 42", "receiver", "counterparty"),
    "terminal": ("terminal", "atm", "tid", "de 41", "terminal id", "pos id"),
    "device": ("device", "device id", "device fingerprint", "ip", "ip address", "fingerprint"),
}  # fmt: skip


def words(name: str) -> tuple[str, ...]:
    """The words of a column name in lower case, without accents: ``Is Fraud?`` and ``isFraud`` are ("is", "fraud")."""
    for sign, word in _SIGNS.items():
        name = name.replace(sign, f" {word} ")
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS))
    plain = _COMPOUND.sub(r" \1", "".join(c for c in plain if not unicodedata.combining(c)))
    return tuple(word.lower() for word in _WORD.findall(plain))


def has(name: str, phrases: tuple[str, ...]) -> bool:
    """Whether one of the phrases, words divided by spaces, stands in the name as whole words, also written as one."""
    found = words(name)
    joined = " " + " ".join(found) + " "
    return any(f" {phrase} " in joined or phrase.replace(" ", "") in found for phrase in phrases)


def is_any(name: str, phrases: tuple[str, ...]) -> bool:
    """Whether the name is one of the phrases and nothing else."""
    found = words(name)
    return any(tuple(phrase.split()) == found or (phrase.replace(" ", ""),) == found for phrase in phrases)
