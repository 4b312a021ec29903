"""Versions appear whole or not at all; the active one changes only to a verified one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.bundle import load_bundle, read_manifest
from models.errors import CounterfoilError, InvalidBundle, ModelNotFound
from models.manifest import DETECTOR, GOLDEN, MANIFEST, REPORT, Manifest
from models.registry import ACTIVE, Active, Registry
from models.scorer import Scorer
from tests.nobody import as_nobody, nobodys_folder


def entries(registry: Registry) -> list[str]:
    """What lies in the registry's folder."""
    return sorted(entry.name for entry in registry.root.iterdir())


def files_of(version: Path) -> dict[str, bytes]:
    """What publish takes."""
    return {name: (version / name).read_bytes() for name in (DETECTOR, GOLDEN, REPORT)}


def named(version: Path, name: str) -> Manifest:
    """The version's manifest under another name."""
    return read_manifest(version).model_copy(update={"version": name})


@pytest.fixture
def registry(tmp_path: Path, tiny_model: Path) -> Registry:
    """A registry with versions a and b, a active."""
    registry = Registry(tmp_path / "artifacts")
    for name in ("a", "b"):
        registry.publish(named(tiny_model, name), files_of(tiny_model))
    registry.activate("a")
    return registry


def test_publish_activate_and_roll_back(registry: Registry) -> None:
    assert registry.versions() == ["a", "b"]
    assert registry.active() == "a"
    registry.activate("b")
    assert registry.active() == "b"
    registry.activate("a")
    assert registry.resolve(None) == registry.root / "a"
    assert load_bundle(registry.root / "a").manifest.version == "a"


def test_the_active_pointer_is_a_file_with_a_name(registry: Registry) -> None:
    pointer = registry.root / ACTIVE
    assert pointer.is_file() and not pointer.is_symlink()
    assert pointer.read_text() == "a\n"
    assert {entry.name for entry in registry.root.iterdir()} == {"a", "b", ACTIVE}


def test_the_pointer_says_who_wanted_it_and_why(registry: Registry) -> None:
    assert registry.activation() == Active("a")
    registry.activate("b", by="alice\nreport x", report="ab" * 32)
    assert (registry.active(), registry.activation()) == ("b", Active("b", "alice report x", "ab" * 32))
    registry.activate("a", report="cd" * 32)
    assert registry.activation() == Active("a", None, "cd" * 32)


def test_an_empty_registry(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "none")
    assert (registry.versions(), registry.active()) == ([], None)
    with pytest.raises(ModelNotFound, match=r"no active model in .*none: run 'counterfoil train' first"):
        registry.resolve(None)
    with pytest.raises(ModelNotFound, match=r"no model version 'x' .*none yet"):
        registry.activate("x")
    assert not registry.root.exists()


def test_a_damaged_version_is_not_activated(registry: Registry) -> None:
    (registry.root / "b" / REPORT).write_text("tampered")
    with pytest.raises(InvalidBundle, match=r"report\.html"):
        registry.activate("b")
    assert registry.active() == "a"


@pytest.mark.parametrize("name", ["../a", "c", "", ".", "a/../b", "active"])
def test_other_names_are_no_versions(registry: Registry, name: str) -> None:
    with pytest.raises(ModelNotFound, match="latest: a, b"):
        registry.activate(name)
    assert registry.active() == "a"


def test_a_model_is_a_name_or_a_folder(registry: Registry, tiny_model: Path) -> None:
    assert registry.resolve("b") == registry.root / "b"
    assert registry.resolve(str(tiny_model)) == tiny_model
    with pytest.raises(ModelNotFound, match="no model version '/nowhere'"):
        registry.resolve("/nowhere")


def test_the_active_version_may_be_gone(registry: Registry) -> None:
    shutil.rmtree(registry.root / "a")
    with pytest.raises(ModelNotFound, match="no model version 'a'"):
        registry.resolve(None)
    (registry.root / ACTIVE).write_text("../../elsewhere\n")
    with pytest.raises(ModelNotFound):
        registry.resolve(None)


def test_a_version_that_fails_its_own_checks_is_not_published(registry: Registry, tiny_model: Path) -> None:
    with pytest.raises(InvalidBundle):
        registry.publish(named(tiny_model, "c"), {**files_of(tiny_model), REPORT: b"other"})
    assert entries(registry) == ["a", ACTIVE, "b"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError, SystemExit])
def test_an_exception_midway_leaves_nothing(
    registry: Registry, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    def fail(path: Path) -> None:
        assert (path / MANIFEST).exists()
        raise failure

    monkeypatch.setattr(Scorer, "load", fail)
    with pytest.raises(failure):
        registry.publish(named(tiny_model, "c"), files_of(tiny_model))
    assert entries(registry) == ["a", ACTIVE, "b"]


def test_a_version_is_never_overwritten(registry: Registry, tiny_model: Path) -> None:
    with pytest.raises(CounterfoilError, match="model version a exists already"):
        registry.publish(named(tiny_model, "a"), files_of(tiny_model))


_KILLED = """
import sys
from pathlib import Path
from models.registry import Registry
import models.registry as module
from models.bundle import read_manifest
from models.manifest import DETECTOR, GOLDEN, REPORT
version, root = Path(sys.argv[1]), Path(sys.argv[2])
module.Scorer.load = lambda path: (print("half", flush=True), sys.stdin.read())
files = {name: (version / name).read_bytes() for name in (DETECTOR, GOLDEN, REPORT)}
Registry(root).publish(read_manifest(version).model_copy(update={"version": "killed"}), files)
"""


def test_a_kill_midway_leaves_no_version_and_the_next_publish_cleans_up(registry: Registry, tiny_model: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tiny_model), str(registry.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"half\n"
        [partial] = registry.root.glob(".killed.*.partial")
        assert registry.versions() == ["a", "b"]
        # While its process lives, nobody removes it.
        registry.publish(named(tiny_model, "c"), files_of(tiny_model))
        assert partial.is_dir()
        process.send_signal(signal.SIGKILL)
    registry.publish(named(tiny_model, "d"), files_of(tiny_model))
    assert entries(registry) == ["a", ACTIVE, "b", "c", "d"]


def test_a_pointer_half_written_is_cleaned_up(registry: Registry, tiny_model: Path) -> None:
    (registry.root / ".active.999999999.partial").write_text("b")
    assert registry.active() == "a"
    registry.publish(named(tiny_model, "c"), files_of(tiny_model))
    assert entries(registry) == ["a", ACTIVE, "b", "c"]


def test_folders_without_a_manifest_are_no_versions(registry: Registry) -> None:
    (registry.root / "notes").mkdir()
    (registry.root / "file.txt").write_text("")
    assert registry.versions() == ["a", "b"]


def test_a_root_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CounterfoilError, match="file: cannot hold model versions: "):
        Registry(tmp_path / "file").prepare()
    assert Registry(tmp_path / "file").versions() == []


def test_versions_sort_by_time(registry: Registry, tiny_model: Path) -> None:
    names = [f"2026010{day}T000000Z-{time.time_ns() % 10**8:08d}" for day in (3, 1, 2)]
    for name in names:
        registry.publish(named(tiny_model, name), files_of(tiny_model))
    assert registry.versions() == [*sorted(names), "a", "b"]


def test_what_this_user_may_not_look_into_is_no_version(tiny_model: Path) -> None:
    """``lost+found`` on a disk of its own, ``.snapshot`` on a network's, another user's folder."""
    with nobodys_folder() as folder:
        shutil.copytree(tiny_model, folder / tiny_model.name)
        for name in ("lost+found", ".snapshot", "another"):
            (folder / name).mkdir(mode=0o700)
        code = """
from pathlib import Path
registry = Registry(Path("."))
print(registry.versions())
for asked in ("another", "none"):
    try:
        registry.folder(asked)
    except CounterfoilError as error:
        print(error)
"""
        before = "from models.errors import CounterfoilError\nfrom models.registry import Registry\n"
        done = as_nobody(before, code, folder)
    assert done.stdout.splitlines() == [
        f"['{tiny_model.name}']",
        "another: cannot be read: permission denied",
        f"no model version 'none' in . (latest: {tiny_model.name})",
    ]
