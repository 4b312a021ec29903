"""A store goes from the process that owned it to several that share it, and back."""

from __future__ import annotations

from app.recording.rebuild import rebuild
from app.recording.steps import Steps
from app.store.open import shared_url
from tests.app.offline import same_states
from tests.app.records import Till, sent, till
from tests.app.store.conftest import Backend, postgresql_backend, postgresql_server, shared_postgresql_backend
from tests.app.traffic import Payments

__all__ = ["postgresql_backend", "postgresql_server", "shared_postgresql_backend"]  # fixtures


def follows(till: Till, payments: Payments) -> bool:
    """Whether the live states are those that the log makes."""
    store = till.recorder.store
    origin = store.origin()
    assert origin is not None
    rebuilt = rebuild(store, payments.schema, origin)
    return same_states(payments.schema, rebuilt, till.recorder.states.peek(sorted(rebuilt)))


def test_a_store_whose_owner_was_killed_is_made_ready_by_the_first_that_shares_it(
    payments: Payments, shared_postgresql_backend: Backend
) -> None:
    shared, rows = shared_postgresql_backend.url, sent(payments, 50)
    owner = Till(payments.scorer, shared_url(shared, False), Steps(save_after=10))
    before = owner.send(*rows[:15]) + owner.send(*rows[15:30])
    owner.recorder.store.close()  # as a kill leaves it: not all states are saved
    with till(payments, shared) as one, till(payments, shared) as other:
        assert 0 < one.recorder.recovered.events <= 30
        assert other.recorder.recovered.events == 0
        assert one.send(*rows[:30]) == before
        other.send(*rows[30:40])
        assert follows(one, payments)
    owner = Till(payments.scorer, shared_url(shared, False), Steps(save_after=10))
    owner.send(*rows[40:45])
    assert follows(owner, payments)
    owner.recorder.close()
    with till(payments, shared) as one:
        assert one.recorder.recovered.events == 0  # its owner saved them as it ended
        one.send(*rows[45:])
        assert follows(one, payments)
