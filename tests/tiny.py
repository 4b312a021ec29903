"""How small the models are that the suite trains."""

from __future__ import annotations

from pathlib import Path

from models.bundle import load_bundle
from models.registry import Registry
from models.thresholds import Policy
from training.fit import FitOptions

TINY_FIT = FitOptions(hidden=(16,), steps=80)
TINY_POLICY = Policy(name="alert-rate", value=0.05)


def no_report(*_arguments: object, **_more: object) -> bytes:
    """In place of the report of a version whose report nobody looks at: to draw it takes longer than to train."""
    return b"<!doctype html>"


def publish_without_ids(version: Path, registry: Registry) -> None:
    """Publish a version's network under a schema without an id, which is no feature, so that nothing is trained."""
    manifest = load_bundle(version).manifest
    schema = manifest.transaction_schema
    columns = {name: column for name, column in schema.columns.items() if column.kind != "id"}
    schema = schema.model_copy(update={"columns": columns}).checked()
    files = {name: (version / name).read_bytes() for name in manifest.files}
    registry.publish(manifest.model_copy(update={"transaction_schema": schema}), files)
