"""The Idempotency-Key header: the caller's own name for a request, so that sending it again counts once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from pydantic_core import to_json
from starlette.requests import Request

from app.problems import Refused
from app.refusals import FieldProblem
from models.pan import contains_card_number

HEADER = "Idempotency-Key"
#: Says of an answer that it was given before.
REPLAYED = {"Idempotency-Replayed": "true"}
#: Visible ASCII, as a regular expression for the OpenAPI page.
PATTERN = "^[!-~]{1,255}$"
_NAME = HEADER.lower().encode()
_ACCEPTED = re.compile(rb"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Key:
    """What a caller sent."""

    text: str

    def digest(self, caller: str | None, place: int) -> bytes:
        """What a transaction sent with this key is looked up by, 16 bytes. Each caller has keys of its own.

        Args:
            place: of the transaction in its batch, from 0; 0 for one that was sent alone.
        """
        content = to_json([caller, self.text, place])
        return blake2b(content, digest_size=16, person=b"idempotency").digest()


def idempotency_key(request: Request) -> Key | None:
    """The request's key, if it has one.

    Raises:
        Refused: 422; the header is there twice, is not 1 to 255 visible ASCII characters, or holds a card number.
    """
    sent = [value for name, value in request.scope["headers"] if name == _NAME]
    if not sent:
        return None
    if len(sent) > 1:
        raise _refusal("appears twice")
    if not _ACCEPTED.fullmatch(sent[0]):
        raise _refusal("expected 1 to 255 visible ASCII characters, without spaces")
    text = sent[0].decode()
    if contains_card_number(text):
        raise _refusal("looks like a card number; use a random value, e.g. a UUID")
    return Key(text)


def _refusal(message: str) -> Refused:
    return Refused("invalid-header", "a header is not as expected", [FieldProblem(field=HEADER, message=message)])
