"""Model versions in a folder: list, publish atomically, activate, roll back.

``<root>/<version>/`` are the versions; ``<root>/active`` is a text file: the name of the one that serves, then, a line
each, ``by NAME`` and ``report SHA-256``, where they are known.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from models.aside import written_aside
from models.errors import CounterfoilError, InvalidBundle, ModelNotFound
from models.manifest import MANIFEST, Manifest
from models.scorer import Scorer

ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Active:
    """The version that is to serve.

    Attributes:
        by: who wanted it; ``report``: SHA-256, in hex, of the report that it was decided on. None where not known.
    """

    version: str
    by: str | None = None
    report: str | None = None


class Registry:
    """The model versions under one folder.

    Args:
        root: the folder, ``artifacts`` by default everywhere; it need not exist before the first publish.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> list[str]:
        """All published versions, oldest first (their names begin with the time)."""
        if not self.root.is_dir():
            return []
        return sorted(
            entry.name for entry in self.root.iterdir() if not entry.name.startswith(".") and _is_version(entry)
        )

    def active(self) -> str | None:
        """The version that serves, or None before the first activation."""
        found = self.activation()
        return None if found is None else found.version

    def activation(self) -> Active | None:
        """The version that serves and what is known of why, or None before the first activation."""
        try:
            version, *lines = (self.root / ACTIVE).read_text(encoding="utf-8").strip().splitlines() or [""]
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise InvalidBundle(ACTIVE, "content", "must hold a version's name; activate a version anew") from None
        more = {name: value for name, _, value in (line.partition(" ") for line in lines)}
        return Active(version.strip(), more.get("by"), more.get("report")) if version else None

    def activate(self, version: str, *, by: str | None = None, report: str | None = None) -> None:
        """Make a version the one that serves, after loading and verifying it. A running service takes it over.

        Args:
            by: who wants it, one line; ``report``: SHA-256, in hex, of the report that it was decided on.

        Raises:
            ModelNotFound: no such version.
            InvalidBundle: the version is damaged; the active one stays.
        """
        Scorer.load(self.folder(version))
        lines = [version, *(f"{name} {value}" for name, value in (("by", by), ("report", report)) if value)]
        with written_aside(self.root / ACTIVE) as aside:
            aside.write_text("".join(f"{' '.join(line.split())}\n" for line in lines), encoding="utf-8")
        _sync_folder(self.root)

    def folder(self, version: str) -> Path:
        """The folder of a published version.

        Raises:
            ModelNotFound: no such version; lists those that exist.
            CounterfoilError: this user may not read it.
        """
        known = self.versions()
        if version not in known:
            _require_readable(self.root / version)
            listed = ", ".join(known[-5:]) or "none yet; run 'counterfoil train'"
            raise ModelNotFound(f"no model version '{version}' in {self.root} (latest: {listed})")
        return self.root / version

    def resolve(self, model: str | None) -> Path:
        """The folder meant by a version name, a path to a version's folder, or None for the active version.

        Raises:
            ModelNotFound: nothing is active, or no such version or folder.
        """
        if model is None:
            version = self.active()
            if version is None:
                raise ModelNotFound(f"no active model in {self.root}: run 'counterfoil train' first, or name --model")
            return self.folder(version)
        if model in self.versions():
            return self.root / model
        if (Path(model) / MANIFEST).is_file():
            return Path(model)
        return self.folder(model)

    def prepare(self) -> None:
        """Make the folder if need be: call it before hours of training.

        Raises:
            CounterfoilError: it cannot be made or written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CounterfoilError(f"{self.root}: cannot hold model versions: {error.strerror}") from None
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise CounterfoilError(f"{self.root}: cannot hold model versions: not writable")

    def publish(self, manifest: Manifest, files: dict[str, bytes]) -> Path:
        """Write a version aside, verify it as a reader would, and rename it into place.

        Args:
            manifest: with the SHA-256 of every file in ``files``.
            files: content by name, the manifest left out.

        Returns:
            The version's folder. After a failure or a kill nothing but a hidden ``.partial`` folder can remain,
            which readers ignore and the next publish removes.

        Raises:
            InvalidBundle: the version does not pass its own checks.
        """
        self.prepare()
        for leftover in self.root.glob(".*.partial"):
            if _alive(leftover.name):
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        target = self.root / manifest.version
        if target.exists():
            raise CounterfoilError(f"model version {manifest.version} exists already")
        aside = self.root / f".{manifest.version}.{os.getpid()}.partial"
        aside.mkdir()
        try:
            body = manifest.model_dump_json(indent=1).encode() + b"\n"
            for name, content in {**files, MANIFEST: body}.items():
                with (aside / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            Scorer.load(aside)
            _sync_folder(aside)
            aside.rename(target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _sync_folder(self.root)
        return target


def _is_version(folder: Path) -> bool:
    """Has a manifest. What this user may not look into, as ``lost+found`` on a disk of its own, is none."""
    try:
        return (folder / MANIFEST).is_file()
    except OSError:
        return False


def _require_readable(folder: Path) -> None:
    try:
        (folder / MANIFEST).is_file()
    except OSError as error:
        raise CounterfoilError(f"{folder}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def _alive(partial_name: str) -> bool:
    pid = partial_name.removesuffix(".partial").rpartition(".")[2]
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
