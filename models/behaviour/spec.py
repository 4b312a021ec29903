"""The declaration of behaviour features: ``[entity.<name>]`` in a profile, checked against the profile's columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.durations import duration_seconds

Transform = Literal["none", "signed-log", "late-log"]

#: Feature words that are written once per window, and those that look at the longest window only.
LABEL_WORDS = ("fraud_share", "fraud_count", "fraud_streak")
WINDOWED = ("count", "sum", "mean", "std", "max", "distinct", "same", "ratio_to_mean", "zscore", *LABEL_WORDS)
SINGLE = (
    "since_last",
    "since",
    "since_first",
    "ratio_to_same",
    "km_from_last",
    "km_from_usual",
    "kmh",
    "new",
    "hour_rarity",
)
OF_PLACE = ("km_from_last", "km_from_usual", "kmh")
WITH_COLUMN = ("distinct", "same", "since", "since_first", "ratio_to_same", "new")
#: Words whose value for an entity without events is the longest window.
ELAPSED = ("since_last", "since")
RATIOS = ("ratio_to_mean", "ratio_to_same")
OF_AMOUNT = ("sum", "mean", "std", "max", "zscore", *RATIOS)
_NAMES_ONE = ", ".join(WITH_COLUMN)
_LATE = ("zscore", *RATIOS)
_UNTRANSFORMED = ("fraud_share", "new", "hour_rarity", "is_new")
MOST_WINDOWS, MOST_CODE_COLUMNS = 8, 3
#: The largest amount in minor units with which the sums stay exact.
MOST_MINOR_UNITS = 10**12
_LONGEST_DAYS = 400
#: Columns of the place, where a section names no others.
DEFAULT_PLACE = ("latitude", "longitude")
_ALLOWED = ", ".join([f"{word}:COLUMN" if word in WITH_COLUMN else word for word in (*WINDOWED, *SINGLE)])
_ALLOWED += f"; {WINDOWED[0]} to {WINDOWED[-1]} also with a window of their own, e.g. count@5m"


@dataclass(frozen=True)
class BehaviourFeature:
    """One number that the kernel writes.

    Attributes:
        entity: the section's name, e.g. ``card``.
        word: what is computed, e.g. ``distinct``.
        window: e.g. ``7d``; "" where the longest one is meant.
        column: whose values are counted; "" for none.
        alone: whether the window is its own, not one of the section's.
    """

    entity: str
    word: str
    window: str = ""
    column: str = ""
    alone: bool = False

    @property
    def name(self) -> str:
        """E.g. ``card.distinct_country_7d``."""
        return f"{self.entity}." + "_".join(part for part in (self.word, self.column, self.window) if part)

    @property
    def transform(self) -> Transform:
        """As of a numeric column: counts, sums and distances have long tails, ratios at their end only."""
        if self.word in _LATE:
            return "late-log"
        return "none" if self.word in _UNTRANSFORMED else "signed-log"

    @property
    def cold(self) -> float:
        """The value for an entity without events, where it does not depend on the transaction."""
        return 1.0 if self.word in ("is_new", *RATIOS) else 0.0


def _split(feature: str) -> tuple[str, str, str]:
    """Word, column and window of ``WORD``, ``WORD:COLUMN`` or either with ``@WINDOW``; "" for what is not there."""
    rest, _, window = feature.partition("@")
    word, _, column = rest.partition(":")
    return word, column, window


class EntityBehaviour(BaseModel):
    """What is computed from the earlier transactions of the same card, merchant or other entity.

    A windowed feature is computed in each of ``windows``, or, as ``count@5m``, in a window of its own.
    ``<entity>.is_new`` is added to the features by itself: 1 where the entity has no transaction in the longest window.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: str
    windows: tuple[str, ...] = Field(min_length=1, max_length=MOST_WINDOWS)
    features: tuple[str, ...] = Field(min_length=1)
    label_delay: str = "7d"
    place: tuple[str, str] = DEFAULT_PLACE

    @field_validator("windows", "features", "place", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("label_delay")
    @classmethod
    def _delay(cls, value: str) -> str:
        duration_seconds(value)
        return value

    @field_validator("windows")
    @classmethod
    def _ascending(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        seconds = [duration_seconds(text) for text in value]
        if seconds != sorted(set(seconds)) or seconds[0] <= 0:
            raise ValueError("windows must be different and in ascending order, e.g. 1h, 1d, 7d")
        return value

    @model_validator(mode="after")
    def _known_words(self) -> EntityBehaviour:
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature is named twice")
        for text in self.features:
            word, column, window = _split(text)
            takes_one = word in WITH_COLUMN
            if (
                word not in (*WINDOWED, *SINGLE)
                or takes_one != (":" in text)
                or takes_one != bool(column)
                or ("@" in text and (word in SINGLE or not window))
            ):
                shown = re.sub(r"[^A-Za-z0-9_:@]", "?", text)[:40]
                raise ValueError(f"unknown feature '{shown}'; allowed are {_ALLOWED}")
        seconds = self.window_seconds
        if len(set(seconds)) < len(seconds) or any(window in self.windows for window in self._own_windows):
            raise ValueError("a feature's own window (behind @) must differ from the section's windows")
        if len(seconds) > MOST_WINDOWS:
            raise ValueError(f"at most {MOST_WINDOWS} different windows, those behind @ included")
        if seconds[0] <= 0 or seconds[-1] > _LONGEST_DAYS * 86_400:
            raise ValueError(f"a window is longer than 0s and at most {_LONGEST_DAYS}d")
        if len(self.code_columns) > MOST_CODE_COLUMNS:
            raise ValueError(f"{_NAMES_ONE} may name at most {MOST_CODE_COLUMNS} columns in all")
        return self

    @cached_property
    def code_columns(self) -> tuple[str, ...]:
        """Columns whose values are told apart, in order of first mention."""
        named = (_split(text)[1] for text in self.features)
        return tuple(dict.fromkeys(column for column in named if column))

    @cached_property
    def every_window(self) -> tuple[str, ...]:
        """The section's windows and those that single features have for themselves, in ascending order."""
        return tuple(sorted((*self.windows, *self._own_windows), key=duration_seconds))

    @property
    def _own_windows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(window for text in self.features if (window := _split(text)[2])))

    def uses(self, *words: str) -> bool:
        """Whether a feature is one of these words."""
        return any(feature.word in words for feature in self.derived)

    @cached_property
    def uses_place(self) -> bool:
        """Whether a feature needs to know where."""
        return self.uses(*OF_PLACE)

    @cached_property
    def uses_amount(self) -> bool:
        """Whether a feature needs the amount."""
        return self.uses(*OF_AMOUNT)

    @cached_property
    def window_seconds(self) -> tuple[int, ...]:
        """:attr:`every_window` in seconds."""
        return tuple(duration_seconds(text) for text in self.every_window)

    @cached_property
    def label_delay_seconds(self) -> int:
        """The label delay in seconds."""
        return duration_seconds(self.label_delay)

    def named(self, entity: str) -> tuple[BehaviourFeature, ...]:
        """The features under an entity's name, in the order the kernel writes them."""
        found: list[BehaviourFeature] = []
        for text in self.features:
            word, column, own = _split(text)
            for window in (own,) if own or word in SINGLE else self.windows:
                found.append(BehaviourFeature(entity, word, window, column, alone=bool(own)))
        return (*found, BehaviourFeature(entity, "is_new"))

    @cached_property
    def derived(self) -> tuple[BehaviourFeature, ...]:
        """:meth:`named`, where the entity's name does not matter."""
        return self.named("")

    def check(
        self, entity: str, kinds: Mapping[str, str], bounds: Mapping[str, tuple[float | None, float | None]]
    ) -> None:
        """Check the declaration against the profile's columns.

        Args:
            kinds: kind by column name.
            bounds: minimum and maximum by numeric column name.

        Raises:
            ValueError: naming the section, the key and what was expected there.
        """
        where = f"entity.{entity}"
        if kinds.get(self.key) != "entity":
            raise ValueError(f"{where}: key must name a column of kind 'entity'")
        for column in self.code_columns:
            if kinds.get(column) not in ("entity", "categorical") or column == self.key:
                raise ValueError(f"{where}: {_NAMES_ONE} need a column of kind 'entity' or 'categorical', not the key")
        if "timestamp" not in kinds.values():
            raise ValueError(f"{where}: behaviour features need a column of kind 'timestamp'")
        if self.uses_amount and "amount" not in kinds.values():
            raise ValueError(f"{where}: {', '.join(OF_AMOUNT)} need a column of kind 'amount'")
        if self.uses_place:
            for column, limit in zip(self.place, (90.0, 180.0), strict=True):
                low, high = bounds.get(column, (None, None))
                if low is None or high is None or low < -limit or high > limit:
                    raise ValueError(
                        f"{where}: {', '.join(OF_PLACE)} need numeric columns for place, latitude with minimum -90 "
                        "and maximum 90, longitude with minimum -180 and maximum 180"
                    )
