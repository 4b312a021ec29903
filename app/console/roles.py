"""Who may do what in the console, and what takes two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.console.users import Role
from app.problems import Refused

#: ``look`` at everything but the audit; ``work`` on alerts; decide ``escalated`` ones; ``release`` what others hold;
#: read the ``audit``; propose and approve ``models`` and their thresholds; propose changes of ``lists``; propose
#: ``rules`` and approve both; propose and approve a ``purge``.
Right = Literal["look", "work", "escalated", "release", "audit", "models", "lists", "rules", "purge"]
_ANALYST: frozenset[Right] = frozenset({"look", "work", "lists"})
_SENIOR: frozenset[Right] = _ANALYST | {"escalated"}
_MANAGER: frozenset[Right] = _SENIOR | {"release", "audit", "models", "rules", "purge"}
RIGHTS: dict[Role, frozenset[Right]] = {
    "analyst": _ANALYST,
    "senior": _SENIOR,
    "manager": _MANAGER,
    "auditor": frozenset({"look", "audit"}),
    "admin": _MANAGER,
}


@dataclass(frozen=True, slots=True)
class Person:
    """Who looks at a page.

    Attributes:
        local: nobody signed in: the console is open to this machine alone.
        session: digest of the session; empty without one.
    """

    name: str
    role: Role
    local: bool = False
    session: bytes = b""

    def may(self, right: Right) -> bool:
        """Whether they may."""
        return right in RIGHTS[self.role]


def require(person: Person, right: Right) -> None:
    """Raises Refused where they may not."""
    if not person.may(right):
        raise Refused("forbidden", f"the role {person.role} may not do this; ask a colleague who may, or an admin")


def require_four_eyes(author: str, approver: Person) -> None:
    """The one place that says that two people are needed: for whatever changes what all payments are decided by.

    Raises:
        Refused: the approver is the author, whatever their role.
    """
    if approver.name == author:
        raise Refused("forbidden", "whoever proposes a change does not approve it: that takes a second person")
