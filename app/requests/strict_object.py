"""A JSON object read strictly: known names only, each once, every value checked by its type."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from app.problems import is_json_error, refused
from app.requests.names import load_pairs, odd_names, refuse_nesting

#: A validated object: value by name.
Row = Mapping[str, Any]
#: Objects and arrays tolerated in a body, so that a wrong one is still told which field is wrong.
MOST_NESTED = 64


def object_type(name: str, fields: dict[str, Any]) -> Any:
    """The type of an object with these fields.

    A TypedDict may have fields of any name, so that columns need not be Python identifiers. It leaves the names
    themselves alone: pydantic-core would copy the whole body into the error of each missing or unknown one.
    """
    kind = cast(Any, TypedDict)(name, fields, total=False)
    return with_config(ConfigDict(extra="ignore"))(kind)


def validated(adapter: TypeAdapter[Any], body: bytes) -> Row | ValidationError:
    """The value of a JSON body, or what is wrong with its values.

    Raises:
        Refused: not JSON at all.
    """
    try:
        row: Row = adapter.validator.validate_json(body)
    except ValidationError as error:
        if is_json_error(error):
            raise refused(error, {}) from None
        return error
    return row


def named(
    row: Row | ValidationError,
    value: Any,
    known: Collection[str],
    optional: Collection[str] = (),
    kind: str = "invalid-transaction",
) -> Row:
    """A validated object whose names are as expected, too.

    Args:
        value: the same object from :func:`app.requests.names.load_pairs`.
        kind: of problem, where it is not.

    Raises:
        Refused: what is wrong, by field.
    """
    odd = odd_names(value, known, optional)
    if odd or isinstance(row, ValidationError):
        raise refused(row if isinstance(row, ValidationError) else None, odd, kind)
    return row


class StrictObject:
    """Reads bodies that are one object of a few fields.

    Args:
        kind: of problem, where a body is no such object.
        fields: type by name.
        optional: names that may be missing.
    """

    def __init__(self, kind: str, fields: dict[str, Any], optional: Collection[str] = ()) -> None:
        self._adapter = TypeAdapter(object_type("Body", fields))
        self._kind = kind
        self._known = tuple(fields)
        self._optional = optional

    def read(self, body: bytes) -> Row:
        """The object in a body.

        Raises:
            Refused: not JSON, or not such an object.
        """
        refuse_nesting(body, MOST_NESTED, self._kind)
        row = validated(self._adapter, body)
        return named(row, load_pairs(body), self._known, self._optional, self._kind)
