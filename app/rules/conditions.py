"""Rules in force: their conditions, compiled from CEL against the variables that a schema has.

CEL ends: it has no loops but those over lists. Its parser refuses what is nested too deeply, and one evaluation ends
after 10,000 steps of such loops. A condition that fails when it is asked (a division by zero, a text that is no number)
does not hold; the failure is told.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from app.rules.document import Document, Rule
from app.rules.facts import Facts, Kind, Opinion
from models.errors import CounterfoilError, InvalidInput

if TYPE_CHECKING:
    from cel_expr_python import cel

    from models.schema import TransactionSchema

#: Seconds that one rule may take on a transaction of zeros and empty texts.
_MOST_SECONDS = 0.001
_TRIES = 5
_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_NO_OPINION = Opinion(0.0, 1.0, 0.0, "approve", "")


@dataclass(frozen=True, slots=True)
class Found:
    """What rules say of a transaction.

    Attributes:
        matching: those whose condition holds.
        failed: those whose condition could not be told, and why.
    """

    matching: tuple[Rule, ...]
    failed: Mapping[str, str]


class Conditions:
    """The rules of a document, ready to be asked. Immutable.

    Args:
        document: the rules.
        schema: of the transactions.

    Attributes:
        document: as given.
        names: the variables that occur in them.

    Raises:
        InvalidInput: a rule is wrong; names it, the place in it, and what was expected.
        CounterfoilError: CEL is not installed.
    """

    def __init__(self, document: Document, schema: TransactionSchema) -> None:
        self.document = document
        facts = Facts(schema)
        self._environment = environment = _environment(facts)
        self._each = [_compiled(environment, rule, document.source, facts) for rule in document.rules]
        words = {word for rule in document.rules for word in _NAMES.findall(rule.when)}
        self.names = tuple(name for name in facts.kinds if any(f"{word}.".startswith(f"{name}.") for word in words))
        # One evaluation for all costs a quarter of one for each. A comment at the end of a rule ends with its line.
        everything = ",".join(f"({rule.when}\n)" for rule in document.rules)
        try:
            self._all = environment.compile(f"[{everything}]")
        except RuntimeError:  # one level deeper than each, some are too deep
            self._all = None
        self._try(facts, len(schema.numeric))

    def of(self, values: Mapping[str, Any]) -> Found:
        """What they say of a transaction.

        Args:
            values: of :attr:`names`, as from :meth:`app.rules.facts.Facts.of`.
        """
        rules, activation = self.document.rules, self._environment.Activation(values)
        if self._all is not None:
            try:
                hold = self._all.eval(activation).plain_value()
            except RuntimeError:
                hold = None
            if isinstance(hold, list):
                return Found(tuple(rule for rule, holds in zip(rules, hold, strict=True) if holds), {})
        answers = [_ask(condition, activation) for condition in self._each]
        matching = tuple(rule for rule, answer in zip(rules, answers, strict=True) if answer is True)
        failed = {rule.name: why for rule, why in zip(rules, answers, strict=True) if isinstance(why, str)}
        return Found(matching, failed)

    def _try(self, facts: Facts, numbers: int) -> None:
        """Refuse what takes too long."""
        values = facts.of(self.names, {}, [0.0] * numbers, 0, _NO_OPINION, ())
        activation = self._environment.Activation(values)
        for rule, condition in zip(self.document.rules, self._each, strict=True):
            fastest = min(_timed(condition, activation) for _ in range(_TRIES))
            if fastest > _MOST_SECONDS:
                raise InvalidInput(
                    f"{self.document.source}: rule {rule.name}: takes {fastest * 1e3:.1f} ms for one transaction, more "
                    f"than {_MOST_SECONDS * 1e3:g} ms; put the values on a list, or take out a loop over lists"
                )


def _environment(facts: Facts) -> cel.Env:
    try:
        from cel_expr_python import cel  # noqa: PLC0415 - only who has rules needs it
    except ImportError:
        raise CounterfoilError("rules need CEL: pip install 'counterfoil[rules]'") from None
    kinds: dict[Kind, cel.Type] = {
        "number": cel.Type.DOUBLE,
        "text": cel.Type.STRING,
        "time": cel.Type.TIMESTAMP,
        "truth": cel.Type.BOOL,
        "columns": cel.Type.List(cel.Type.STRING),
    }
    return cel.NewEnv(variables={name: kinds[kind] for name, kind in facts.kinds.items()})


def _compiled(environment: cel.Env, rule: Rule, source: str, facts: Facts) -> cel.Expression:
    where = f"{source}: rule {rule.name}"
    try:
        found = environment.compile(rule.when)
    except RuntimeError as error:
        raise InvalidInput(f"{where}: {_told(str(error), facts)}") from None
    if found.return_type().name() != "BOOL":
        raise InvalidInput(f"{where}: when: expected a condition, true or false; this is {found.return_type().name()}")
    return found


def _ask(condition: cel.Expression, activation: cel.Activation) -> bool | str:
    """Whether it holds, or why that cannot be told."""
    try:
        answer = condition.eval(activation)
    except RuntimeError as error:
        return _short(str(error))
    value = answer.value()
    return value if isinstance(value, bool) else _short(str(value))


def _timed(condition: cel.Expression, activation: cel.Activation) -> float:
    begun = time.perf_counter()
    _ask(condition, activation)
    return time.perf_counter() - begun


def _short(message: str) -> str:
    """Without the names of codes; nothing of a transaction's values is told."""
    return re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", message.split("\n", maxsplit=1)[0]).split(":", maxsplit=1)[0]


def _told(message: str, facts: Facts) -> str:
    """A message of the compiler, in a line."""
    match = _ERROR.search(message)
    if match is None:
        deep = "recursion limit" in message
        return "when: nested too deeply, more than 32 levels" if deep else f"when: {_short(message)}"
    line, column, what = match.groups()
    hint = ""
    if "double" in what and "int" in what:
        hint = "; numbers are written with a point here, 500.0 and not 500"
    elif unknown := re.match(r"undeclared reference to '([^']*)'", what):
        near = get_close_matches(unknown[1], facts.kinds, 1)
        what = f"there is no {unknown[1]}"
        hint = f"; did you mean {near[0]}?" if near else "; 'counterfoil rules names' lists the names there are"
    else:
        what = what.partition(" expecting ")[0]
    return f"when, line {line}, column {int(column)}: {what}{hint}"
