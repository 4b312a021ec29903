"""The versions that give the same scores: of one network and one calibration, apart in their thresholds alone."""

from __future__ import annotations

from contextlib import suppress

from models.bundle import read_manifest
from models.errors import CounterfoilError
from models.manifest import DETECTOR, Manifest
from models.registry import Registry


def alike(registry: Registry, manifest: Manifest) -> list[Manifest]:
    """A version, and those that differ from it in their threshold alone, oldest first. Damaged ones are passed over."""
    found = {manifest.version: manifest}
    for version in registry.versions():
        with suppress(CounterfoilError):  # damaged, or gone by now
            one = read_manifest(registry.folder(version))
            if one.files[DETECTOR] == manifest.files[DETECTOR] and one.calibration == manifest.calibration:
                found[version] = one
    return [found[version] for version in sorted(found)]
