"""From contributions and expected values to reasons: features of one cause are told as one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.behaviour.distance import kilometres
from models.reasons.reason import Direction, Reason
from models.reasons.sentences import UNSEEN, Row, Sentences, difference
from models.reasons.times import cycle_text, expected_text
from models.rows import Batch, Vocabulary
from models.schema import TransactionSchema

#: Nearer than this to where an entity usually pays, a place is odd for another reason.
_SAME_PLACE_KM = 1.0


class Explainer:
    """Tells the causes of a transaction's error. Nothing in it changes after the constructor.

    Attributes:
        members: per cause the positions of its features, ascending.
    """

    def __init__(self, schema: TransactionSchema, vocabulary: Vocabulary) -> None:
        self._schema, self._vocabulary = schema, vocabulary
        self._sentences = Sentences(schema)
        self._owner = np.array(schema.causes)
        self.members = tuple(np.flatnonzero(self._owner == cause) for cause in range(self._owner.max() + 1))
        self._things = schema.things
        self._at = {name: i for i, name in enumerate(schema.features)}
        self._words = {feature.name: feature.word for feature in schema.behaviour}

    def parts(self, contributions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Contributions of features [features] as those of causes [causes]."""
        return np.bincount(self._owner, contributions, len(self.members)).astype(np.float64)

    def features_of(self, causes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which features belong to each of the causes: bool [n causes, features]."""
        chosen: NDArray[np.bool_] = self._owner[None] == causes[:, None]
        return chosen

    def reason(
        self, batch: Batch, row: int, contributions: NDArray[np.float64], expected: NDArray[np.float64], cause: int
    ) -> Reason:
        """One cause of one row.

        Args:
            contributions, expected: of the row, [features].
        """
        members = self.members[cause]
        total = float(contributions.sum()) or 1.0
        share = float(contributions[members].sum()) / total
        spokesman = self._spokesman(batch, row, contributions, expected, members)
        for names in self._schema.places:
            if self._at[names[0]] in members:
                far = self._far(batch, row, expected, members)
                if far is None:
                    return self._place(batch, row, expected, names, share)
                spokesman = far
        return self._feature(batch, row, float(expected[spokesman]), spokesman, share)

    def _spokesman(
        self,
        batch: Batch,
        row: int,
        contributions: NDArray[np.float64],
        expected: NDArray[np.float64],
        members: NDArray[np.int64],
    ) -> int:
        """The feature that tells most: by contributions times how far values are from the expected ones, first summed
        over the windows of a word, which share what they tell."""
        values, likely, parts = batch.numeric[row].tolist(), expected.tolist(), contributions.tolist()
        telling: dict[int, dict[int, float]] = {}
        for i in members.tolist():
            apart = difference(values[i], likely[i]) if i < len(values) else 1.0
            telling.setdefault(self._things[i], {})[i] = parts[i] * apart
        of_the_word = max(telling.values(), key=lambda one: sum(one.values()))
        return max(of_the_word, key=of_the_word.__getitem__)

    def _far(self, batch: Batch, row: int, expected: NDArray[np.float64], members: NDArray[np.int64]) -> int | None:
        """The feature that says that a place is far from the usual ones, if one does."""
        for feature in members:
            if self._words.get(self._schema.features[feature]) == "km_from_usual":
                km = float(batch.numeric[row, feature])
                if km > max(expected[feature], _SAME_PLACE_KM):
                    return int(feature)
        return None

    def _place(
        self, batch: Batch, row: int, expected: NDArray[np.float64], names: tuple[str, str], share: float
    ) -> Reason:
        at = [self._at[name] for name in names]
        here = [float(value) for value in batch.numeric[row, at]]
        missing = any(math.isnan(value) for value in here)
        km = math.nan if missing else kilometres([*here, *(float(value) for value in expected[at])])
        direction: Direction = "missing" if missing else "different"
        text = self._sentences.place(km)
        return Reason("/".join(names), None if missing else km, 0.0, share, direction, text)

    def _feature(self, batch: Batch, row: int, expected: float, feature: int, share: float) -> Reason:
        schema, sentences = self._schema, self._sentences
        name = schema.features[feature]
        numbers, categories = len(schema.numeric), len(schema.categorical)
        time = int(batch.time[row])
        if feature < numbers:
            value = float(batch.numeric[row, feature])
            missing = math.isnan(value)
            direction: Direction = "missing" if missing else "higher" if value > expected else "lower"
            text = sentences.number(name, value, expected, Row(batch.numeric[row].tolist(), time))
            return Reason(name, None if missing else value, expected, share, direction, text)
        if feature < numbers + categories:
            known = self._vocabulary.values[feature - numbers]
            told, likely = _value(known, int(batch.categorical[row, feature - numbers])), _value(known, round(expected))
            text = sentences.category(name, told, likely)
            return Reason(name, told or "(missing)", likely or "(missing)", share, "different", text)
        cycle = schema.cycles[feature - numbers - categories]
        told, likely = cycle_text(cycle, time), expected_text(cycle, expected)
        return Reason(name, told, likely, share, "different", sentences.cycle(cycle, told, likely))


def _value(known: tuple[str, ...], code: int) -> str:
    return known[code - 1] if 0 < code <= len(known) else UNSEEN


def largest(parts: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """Positions of the ``top`` largest values, largest first."""
    return np.argsort(-parts, kind="stable")[:top]
