"""Brings a database to the tables of this version: Alembic's revisions, run without its command line."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, String, column, select, table

from models.errors import InvalidInput

#: The newest revision in ``versions``.
HEAD = "0005"
_VERSIONS = table("alembic_version", column("version_num", String))


def revision_of(connection: Connection) -> str | None:
    """The revision a database is at; None for one without tables."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(select(_VERSIONS.c.version_num)).scalar()


def check(connection: Connection, name: str) -> None:
    """For a database that may not be changed.

    Raises:
        InvalidInput: it is not at the newest revision.
    """
    found = revision_of(connection)
    if found != HEAD:
        raise InvalidInput(
            f"{name}: the database is at revision {found or 'none'}, this version of Counterfoil reads {HEAD}; "
            "start the service once with the version that is to read it"
        )


def upgrade(connection: Connection, name: str, to: str = HEAD) -> None:
    """Run what is missing up to a revision, in the connection's transaction. Costs one look where nothing is.

    Raises:
        InvalidInput: the database is of a later version of Counterfoil.
    """
    found = revision_of(connection)
    if found == to:
        return
    # Alembic takes a tenth of a second to import: only where there is something to do.
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(__file__).parent))
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise InvalidInput(
            f"{name}: the database is at revision {found}, which this version of Counterfoil does not know (it ends "
            f"at {HEAD}); upgrade Counterfoil, or restore a backup made before the upgrade"
        )
    # No env.py: it would be a module that works at import.
    with EnvironmentContext(Config(), scripts, fn=lambda rev, _: scripts._upgrade_revs(to, rev)) as context:
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()
