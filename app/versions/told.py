"""What is told of model versions: one function for each question, for the command line and the API alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from app.store.records import Activation
from models.bundle import read_manifest
from models.errors import InvalidBundle, InvalidInput
from models.manifest import Manifest
from models.registry import Registry
from models.scorer import Scorer
from models.times import iso_text

#: Of the manifest, what is long and read by nobody.
_LEFT_OUT = ("calibration", "policy_inputs", "reference")
#: Values of a list that are told one by one.
_SHORT = 8


@dataclass(slots=True, kw_only=True)
class VersionLine:
    """A version in the list of all."""

    version: str
    active: Annotated[bool, Field(description="Named by the registry as the one to serve")]
    damaged: Annotated[str | None, Field(description="What is wrong with it; null where it can be read")] = None
    profile: Annotated[str | None, Field(description="Name of its schema")] = None
    trained_from: Annotated[str | None, Field(description="Time of the first row of the train part")] = None
    trained_until: Annotated[str | None, Field(description="Time of the last row of the train part")] = None
    rows: Annotated[int | None, Field(description="Of the train part")] = None
    roc_auc: float | None = None
    average_precision: float | None = None
    threshold: float | None = None


@dataclass(slots=True)
class Difference:
    """What two versions do not have alike; ``-`` where one has none."""

    name: Annotated[str, Field(description="Of the value in the manifest, e.g. threshold.score")]
    one: str
    other: str


@dataclass(slots=True)
class Verified:
    """Whether a version loads as a service would load it: hashes, graph, and the outputs that it must give."""

    version: str
    damaged: Annotated[str | None, Field(description="What is wrong with it; null where nothing is")]


@dataclass(slots=True)
class Served:
    """That a version answered from a time on, as the log has it."""

    version: str
    since: Annotated[str, Field(description="ISO 8601, UTC")]
    threshold: float
    decline: Annotated[float | None, Field(description="The second threshold; null where it has none")]
    before: Annotated[str | None, Field(description="Answered until then; null for the first of the store")]
    by: Annotated[str | None, Field(description="Who wanted it; null where that is not known")]
    report: Annotated[str | None, Field(description="SHA-256 of the report that it was decided on")]


def listed(registry: Registry) -> list[VersionLine]:
    """All versions, oldest first."""
    active = registry.active()
    lines = []
    for version in registry.versions():
        line = VersionLine(version=version, active=version == active)
        try:
            manifest = read_manifest(registry.folder(version))
        except InvalidBundle as error:
            line.damaged = str(error)
        else:
            part, metrics = manifest.training.train, manifest.metrics
            line.profile = manifest.transaction_schema.name
            line.trained_from, line.trained_until, line.rows = part.start, part.end, part.rows
            line.roc_auc, line.average_precision = metrics.roc_auc, metrics.average_precision
            line.threshold = manifest.threshold.score
        lines.append(line)
    return lines


def facts(manifest: Manifest) -> dict[str, str]:
    """The manifest's values as texts, by their path; of long lists only how long they are."""
    return dict(_facts(manifest.model_dump(mode="json")))


def differences(one: Manifest, other: Manifest) -> list[Difference]:
    """In what two versions differ."""
    mine, others = facts(one), facts(other)
    return [
        Difference(name, mine.get(name, "-"), others.get(name, "-"))
        for name in dict.fromkeys([*mine, *others])
        if mine.get(name) != others.get(name)
    ]


def verified(registry: Registry, version: str | None = None) -> Iterator[Verified]:
    """Versions loaded one after the other; all where none is named.

    Raises:
        ModelNotFound: no such version.
    """
    for name in [version] if version else registry.versions():
        try:
            Scorer.load(registry.folder(name))
        except InvalidBundle as error:
            yield Verified(name, str(error))
        else:
            yield Verified(name, None)


def version_before(activations: Sequence[Activation], active: str | None) -> str:
    """The version that served before the one that serves.

    Args:
        activations: as the store has them, oldest first.
        active: that the registry names. One that was activated and is not taken over yet never served.

    Raises:
        InvalidInput: there is none.
    """
    last = activations[-1] if activations else None
    before = None if last is None else last.before if last.version == active else last.version
    if before is None:
        raise InvalidInput("nothing served before: name the version to activate")
    return before


def served(activation: Activation) -> Served:
    """An activation of the log."""
    return Served(
        activation.version,
        iso_text(activation.at),
        activation.threshold,
        activation.decline,
        activation.before,
        activation.by,
        activation.report,
    )


def _facts(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            fact
            for key, inner in value.items()
            if key not in _LEFT_OUT
            for fact in _facts(inner, f"{name}.{key}" if name else key)
        ]
    if isinstance(value, list) and len(value) > _SHORT:
        return [(name, f"{len(value):,} values")]
    return [(name, str(value))]
