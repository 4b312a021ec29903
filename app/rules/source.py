"""The file of rules: read when the service starts, and again whenever it has changed.

Rules that are wrong change nothing: those before stay in force, after a restart too, and the trouble is told.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from app.file_signature import file_signature
from app.rules.conditions import Conditions
from app.rules.document import parse
from app.rules.rulebook import Rulebook
from app.store.contract import Store
from app.store.records import KeptRules
from models.errors import CounterfoilError, InvalidInput
from models.schema import TransactionSchema

#: The largest file that is read.
_MOST_BYTES = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look at the file came to.

    Attributes:
        signature: of the file; None where there is none.
        rules: that it holds; None where there is no file.
    """

    signature: tuple[int, ...] | None
    rules: Conditions | None


def read_rules(path: Path, schema: TransactionSchema) -> Conditions:
    """The rules of a file, checked against a schema.

    Raises:
        InvalidInput: it cannot be read, or a rule is wrong; names it.
        CounterfoilError: CEL is not installed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InvalidInput(f"{path}: larger than {_MOST_BYTES:,} bytes; put values on a list")
        text = content.decode()
    except OSError as error:
        raise InvalidInput(f"{path}: {(error.strerror or 'unreadable').lower()}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: not UTF-8") from None
    return Conditions(parse(text, str(path)), schema)


class RuleSource:
    """Where the rules of a service come from.

    Args:
        path: of the file; it need not exist.

    Attributes:
        trouble: why what is in the file is not in force; "" where it is.
        since: when the rules in force came into force, microseconds since 1970 UTC; None where there are none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self.trouble = ""
        self.since: int | None = None

    def start(self, store: Store, rulebook: Rulebook, schema: TransactionSchema) -> None:
        """Put the file's rules in force; where they are wrong, those that were in force last.

        Raises:
            StoreUnavailable: nothing is in force.
        """
        reading = self.look(schema)
        if reading is not None:
            self.put(reading, store, rulebook)
        if self.trouble and (kept := store.kept_rules()):
            try:
                rulebook.take(Conditions(parse(kept[-1].text, "the rules in force before"), schema))
                self.since = kept[-1].at
            except CounterfoilError as error:
                _log.error("%s; the model alone decides", error)

    def look(self, schema: TransactionSchema) -> Reading | None:
        """What is to be put in force; None where nothing has changed, or wrongly. Any thread, one at a time."""
        signature = file_signature(self._path)
        if signature == self._seen:
            return None
        if signature is None:
            return Reading(None, None)
        try:
            return Reading(signature, read_rules(self._path, schema))
        except CounterfoilError as error:
            self._seen, self.trouble = signature, str(error)
            _log.error("%s. The rules before stay in force", error)
            return None

    def put(self, reading: Reading, store: Store, rulebook: Rulebook) -> None:
        """Put rules in force, their text kept before; belongs to the thread that writes.

        Raises:
            StoreUnavailable: nothing has changed; to be tried again.
        """
        rules, now = reading.rules, time.time_ns() // 1_000
        if rules is not None:
            kept = store.kept_rules()
            last = kept[-1] if kept else None
            if last is None or last.version != rules.document.version:
                last = KeptRules(rules.document.version, now, rules.document.text)
                store.keep_rules(last)
            now = last.at
            _log.info("%s: %d rules in force, version %s", self._path, len(rules.document.rules), last.version)
        elif rulebook.rules is not None:
            _log.warning("%s is gone: no rules are in force", self._path)
        rulebook.take(rules)
        self._seen, self.trouble, self.since = reading.signature, "", None if rules is None else now
