"""Where a Redis store keeps what. All values of a store share a prefix."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from app.store.records import Name, Origin
from models.behaviour.keys import EntityKey

#: Events per hash: 2 to this power. One hash for all could not be read in parts; a key for each costs memory.
_BUCKET_BITS = 8


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is kept under :attr:`RedisKeys.origin`.

    Attributes:
        number: part of the names of its states and its base.
        has_base: whether a state that is not there may be in the base.
    """

    number: int = 0
    has_base: bool = False
    origin: Origin | None = None

    @classmethod
    def parse(cls, value: bytes | None) -> Beginning:
        """The default where nothing has begun."""
        if value is None:
            return cls()
        found = json.loads(value)
        return cls(found["number"], found["has_base"], Origin(**found["origin"]))

    def dump(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class RedisKeys:
    """Names of keys.

    States and base carry the number of their beginning: a new beginning is one write of :attr:`origin`.
    """

    prefix: str

    @property
    def seq(self) -> str:
        """Counter: the last place in the order of arrival that was reserved."""
        return f"{self.prefix}seq"

    @property
    def origin(self) -> str:
        """JSON: the origin, and the number of this beginning."""
        return f"{self.prefix}origin"

    @property
    def beginnings(self) -> str:
        """Counter of beginnings."""
        return f"{self.prefix}beginnings"

    @property
    def watermark(self) -> str:
        """Integer."""
        return f"{self.prefix}watermark"

    @property
    def proof(self) -> str:
        """Written and deleted, to see that the server takes it."""
        return f"{self.prefix}proof"

    @property
    def purge(self) -> str:
        """Who purges; gone a while after its last step."""
        return f"{self.prefix}purge"

    @property
    def activations(self) -> str:
        """Hash: number of an activation to its JSON."""
        return f"{self.prefix}activations"

    @property
    def list_changes(self) -> str:
        """List: each change of a list as JSON, in the order of their numbers."""
        return f"{self.prefix}list-changes"

    @property
    def rules(self) -> str:
        """Hash: version of rules to their JSON."""
        return f"{self.prefix}rules"

    def events(self, seq: int) -> str:
        """Hash: seq to packed event, for all events of one bucket."""
        return f"{self.prefix}events:{seq >> _BUCKET_BITS}"

    def buckets(self, first: int, last: int) -> list[str]:
        """The hashes of the events from one place to another."""
        return [
            self.events(bucket << _BUCKET_BITS) for bucket in range(first >> _BUCKET_BITS, (last >> _BUCKET_BITS) + 1)
        ]

    def name(self, name: Name) -> str:
        """The seq of the decision that is recorded under a name."""
        return f"{self.prefix}id:{name}" if isinstance(name, str) else f"{self.prefix}idempotency:{name.hex()}"

    def label(self, transaction_id: str) -> str:
        """The latest label, packed."""
        return f"{self.prefix}label:{transaction_id}"

    def labels(self, transaction_id: str) -> str:
        """List: the seqs of all labels."""
        return f"{self.prefix}labels:{transaction_id}"

    def entity(self, key: EntityKey) -> str:
        """Sorted set: the seqs of an entity's decisions."""
        return f"{self.prefix}entity:{key[0]}:{key[1].hex()}"

    def state(self, number: int, key: EntityKey) -> str:
        """A state of a beginning, packed."""
        return f"{self.prefix}begun:{number}:state:{key[0]}:{key[1].hex()}"

    def base(self, number: int, entity: str) -> str:
        """Hash: key to content."""
        return f"{self.prefix}begun:{number}:base:{entity}"

    def compacted(self, number: int) -> str:
        """Integer."""
        return f"{self.prefix}begun:{number}:compacted"

    def begun(self, name: bytes) -> int:
        """The number of the beginning that a state, a base or what is compacted belongs to."""
        return int(name[len(f"{self.prefix}begun:".encode()) :].partition(b":")[0])

    @property
    def all_begun(self) -> str:
        """Pattern of what belongs to any beginning."""
        return re.sub(r"([\\*?\[\]^])", r"\\\1", self.prefix) + "begun:*"
