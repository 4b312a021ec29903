"""What every column of a profile has: a description, and the fields of the table it is read from."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

#: The largest finite float32: nothing outside it is accepted as a number anywhere.
FLOAT32_MAX = 3.4028234663852886e38
MOST_FIELDS = 6
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
#: A card verification value by its name; its result (``cvv_match``, ``CVV response``) is another thing.
_VERIFICATION = re.compile(
    r"(?:^|[^a-z])(?:cvv|cvc|cav|csc)[0-9]?(?![a-z])|security_?code|card_?verification_?(?:value|code)"
)
_RESULT = re.compile(r"match|result|resp|check|status|present|provided|indicator|_?code$")


def is_name(name: str) -> bool:
    """Whether a column of a table can be named in a profile."""
    return _NAME.fullmatch(name) is not None


def names_verification_value(name: str) -> bool:
    """Whether a column's name says that it holds card verification values (CVV, CVC): they must not be stored."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace(" ", "_").replace("-", "_")
    found = _VERIFICATION.search(words)
    return found is not None and not _RESULT.search(words[found.end() :])


def listed(value: Any) -> Any:
    """A list of TOML or JSON as the tuple that a frozen model holds."""
    return tuple(value) if isinstance(value, list) else value


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else listed(value)


Texts = Annotated[tuple[str, ...], BeforeValidator(listed)]
#: A name, or several, of fields.
Fields = Annotated[tuple[str, ...], BeforeValidator(_one_or_more), Field(max_length=MOST_FIELDS)]


class BaseColumn(BaseModel):
    """A column by its name in the profile.

    Attributes:
        description: for the API's page.
        source: ``from`` in a profile: the fields of a table or of JSON that it is read from; its own name by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, serialize_by_alias=True)

    description: str = Field(default="", max_length=500)
    source: Fields = Field(default=(), alias="from")

    def fields(self, name: str) -> tuple[str, ...]:
        """The fields it is read from, given its own name."""
        return self.source or (name,)

    def told(self, name: str) -> str:
        """What it is called in messages: the fields it is read from."""
        return " + ".join(self.fields(name)) or name

    @property
    def formed(self) -> bool:
        """Whether more than the plain form of its kind has to be read."""
        return bool(self.source)

    def plain(self) -> BaseColumn:
        """The same column as the log and exported tables hold it: under its own name, in the plain form."""
        return self.model_copy(update={"source": ()})

    def check_sources(self, most: int = 1) -> None:
        """Check how many fields there are.

        Raises:
            ValueError: more than ``most``.
        """
        if len(self.source) > most:
            raise ValueError(f"from names {len(self.source)} fields; here it takes {'one' if most == 1 else most}")
        if len(set(self.source)) < len(self.source):
            raise ValueError("from names a field twice")
