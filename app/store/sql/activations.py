"""Activations in an SQL store. Few: written when a model version takes over, read when somebody asks."""

from __future__ import annotations

from dataclasses import astuple

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from app.store.records import Activation
from app.store.sql.tables import activations


def activate(connection: Connection, activation: Activation) -> bool:
    """See :meth:`app.store.contract.Store.activate`."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = dict(zip(activations.c.keys(), astuple(activation), strict=True))
    statement = insert(activations).values(values).on_conflict_do_nothing().returning(activations.c.number)
    return connection.execute(statement).first() is not None


def of(connection: Connection) -> list[Activation]:
    """See :meth:`app.store.contract.Store.activations`."""
    return [Activation(*row) for row in connection.execute(select(activations).order_by(activations.c.number))]
