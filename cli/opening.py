"""What commands open: settings, the model they score with, the states that behaviour features go on from."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.console import err, out
from cli.options import State
from models.errors import InvalidInput

if TYPE_CHECKING:
    from app.settings import Settings
    from models.behaviour.state_fork import StateFork
    from models.registry import Registry
    from models.schema import TransactionSchema
    from models.scorer import Scorer


def registry_at(artifacts: Path | None) -> Registry:
    """The model versions in this folder, or in the folder of the settings."""
    from app.settings import load_settings
    from models.registry import Registry

    return Registry(artifacts or load_settings().artifacts)


def open_scorer(model: str | None, artifacts: Path | None) -> Scorer:
    """A version's scorer on all cores; the active version's where none is named."""
    from app.settings import load_settings
    from models.scorer import Scorer

    settings = load_settings()
    folder = registry_at(artifacts).resolve(model or settings.model)
    scorer = Scorer.load(folder, threads=os.cpu_count() or 1)
    if scorer.schema.hashed:
        from app.pseudonyms import keyed_scorer

        scorer = keyed_scorer(scorer, settings)
    say_cache_trouble(scorer.schema)
    return scorer


def keyed(schema: TransactionSchema) -> TransactionSchema:
    """A profile with what it hashes keys with, of the settings' secret."""
    if not schema.hashed:
        return schema
    from app.pseudonyms import keyed_schema
    from app.settings import load_settings

    return keyed_schema(schema, load_settings())


def say_cache_trouble(schema: TransactionSchema) -> None:
    """Say so where behaviour features are compiled anew by every command."""
    if schema.entity:
        from models.behaviour.compiled import cache_trouble

        trouble = cache_trouble()
        if trouble:
            err.print(f"Note: {trouble}", markup=False)


def settings_with(given: dict[str, Any]) -> Settings:
    """The settings, with the options that were given on top."""
    from app.settings import load_settings

    return load_settings(**{name: value for name, value in given.items() if value is not None})


def fork_of(scorer: Scorer, state: State, database: str | None = None) -> StateFork | None:
    """What behaviour features of a table go on from; None where the model has none."""
    if not scorer.schema.behaviour:
        return None
    from app.pseudonyms import Pseudonyms
    from app.recording.startup import live_states, snapshot_of
    from app.store.open import open_store
    from models.behaviour.events import Behaviour
    from models.behaviour.state_fork import StateFork

    behaviour = Behaviour(scorer.schema)
    if state is State.empty:
        return StateFork(behaviour, None)
    if state is State.live:
        settings = settings_with({"database_url": database})
        pseudonyms = Pseudonyms.open(settings, scorer.schema)
        store = open_store(settings.database_url, read_only=True)
        return StateFork(behaviour, live_states(store, scorer.schema, pseudonyms), pseudonyms.rows)
    snapshot = snapshot_of(scorer)
    return StateFork(behaviour, (lambda keys: snapshot.states) if snapshot else None)


def operator() -> str:
    """Who runs this command, as this machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as containers have
        return f"user {os.getuid()}"


def activate_and_say(registry: Registry, version: str, wanted: bool, say: Callable[[], None]) -> None:
    """Activate a new version where that is wanted, then say what there is to say of it.

    In this order: a version that is published is not left inactive because nobody can be told.
    """
    try:
        if wanted:
            registry.activate(version, by=operator())
    finally:
        say()
    out.print("This version is now active." if wanted else f"Not active. To serve it: counterfoil activate {version}")


def require_label(schema: TransactionSchema, files: list[Path], label: str | None) -> None:
    """See that the files have the label column.

    Raises:
        InvalidInput: naming the profile or the file that has none.
    """
    from models.strict_tables import opened

    if label is None:
        raise InvalidInput(f"profile '{schema.name}' has no label column, so there is nothing to measure against")
    for file in files:
        opened(schema, file, label=True)
