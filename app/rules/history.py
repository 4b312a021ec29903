"""Rulings given again: with the rules and the lists that a recorded decision names."""

from __future__ import annotations

from app.rules.changing import catch_up
from app.rules.conditions import Conditions
from app.rules.document import parse
from app.rules.rulebook import NO_RULES, Rulebook
from app.store.contract import Store
from models.errors import CounterfoilError
from models.schema import TransactionSchema


class History:
    """What had a say in the decisions of a store.

    Args:
        store: may be read-only.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Rulebook | str] = {}

    def rulebook(self, version: str, schema: TransactionSchema, model: str) -> tuple[Rulebook, int] | str:
        """What decided, and the number of the last change of the lists that counted; or why it cannot be told.

        Args:
            version: as the decision names it.
            schema: of the model version that scored, whose name is ``model``.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        rules, _, number = version.partition(".")
        if not (number.isascii() and number.isdigit()):
            return "what had a say is not told"
        if (rules, model) not in self._known:
            self._known[rules, model] = self._made(rules, schema)
        found = self._known[rules, model]
        if isinstance(found, str):
            return found
        if found.lists.number < int(number):
            catch_up(self._store, found.lists)
        return found, int(number)

    def _made(self, rules: str, schema: TransactionSchema) -> Rulebook | str:
        rulebook = Rulebook(schema)
        if rules != NO_RULES:
            kept = {one.version: one.text for one in self._store.kept_rules()}
            if rules not in kept:
                return "the rules are not kept in this store"
            try:
                rulebook.take(Conditions(parse(kept[rules], f"rules {rules}"), schema))
            except CounterfoilError as error:
                return f"the rules cannot be read: {error}"
        return rulebook
