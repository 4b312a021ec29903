"""One decision out of three opinions: the lists', the rules' and the model's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from models.thresholds import Decision

#: What a list or a rule asks for; ``snooze`` asks that nothing but a decline be made of it.
Wish = Literal["approve", "review", "decline", "snooze"]


def final(wishes: Iterable[Wish], model: Decision) -> Decision:
    """Allow, block, review, in this order; where nobody asks for one of them, what the model says.

    - ``approve`` wins over everything, the model's decline included;
    - else ``decline``, from whomever it comes;
    - else ``snooze``: neither rules nor the model get a review;
    - else ``review``.
    """
    asked = {*wishes}
    if "approve" in asked:
        return "approve"
    if "decline" in asked or model == "decline":
        return "decline"
    if "snooze" in asked:
        return "approve"
    return "review" if "review" in asked else model
