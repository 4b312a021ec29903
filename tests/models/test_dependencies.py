"""What dependencies would do of their own accord, and where the compiled kernel is kept."""

from __future__ import annotations

import importlib
import os
import stat
import sys
from pathlib import Path

import pytest
from numba import config

from models.behaviour.compiled import compiled
from models.dependencies import kernel_folder, silence, unseen
from tests.nobody import as_nobody, nobodys_folder


def add(a: int, b: int) -> int:
    """Something to compile."""
    return a + b


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that cannot be made, even by root; no home, and nothing set."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", "/nonexistent")
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "file" / "folder"


def test_what_is_set_already_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    silence()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    silent = {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    for name, value in silent.items():
        monkeypatch.delenv(name, raising=False)
        silence()
        assert os.environ[name] == value


def test_what_is_not_to_be_seen_is_found_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with unseen("colorsys"), unseen("json"):
        importlib.import_module("json")  # it was loaded already
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
    importlib.import_module("colorsys")


def test_the_kernel_is_kept_where_the_operator_says(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    assert kernel_folder(tmp_path) == (tmp_path / "kept", None)
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(nowhere))
    folder, trouble = kernel_folder(tmp_path)
    assert folder == tmp_path / "__pycache__"
    assert trouble == f"NUMBA_CACHE_DIR ({nowhere}) cannot be written to; the compiled kernel is kept in {folder}"


def test_else_beside_the_sources_else_in_the_users_cache(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert kernel_folder(tmp_path) == (tmp_path / "__pycache__", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel_folder(nowhere) == (tmp_path / ".cache" / "counterfoil", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert kernel_folder(nowhere) == (tmp_path / "xdg" / "counterfoil", None)


@pytest.mark.parametrize("home", ["", "~", "/", "relative", "/nonexistent"])
def test_without_a_home_it_is_kept_nowhere_and_that_is_said(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", home)
    folder, trouble = kernel_folder(nowhere)
    assert folder is None
    assert trouble is not None and trouble.endswith(
        "it is compiled at each start, which takes seconds: set NUMBA_CACHE_DIR to a folder that only this user may "
        "write to"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_user_whom_nobody_set_up_can_compile_the_kernel() -> None:
    """An id without a name, a home, or rights to the sources: so containers of some clusters run."""
    before = "from numba import njit\nfrom models.behaviour.compiled import cache_trouble, compiled\n"
    before += "from tests.models.test_dependencies import add\nnjit(add)(1, 2)"
    with nobodys_folder() as folder:
        done = as_nobody(before, "print(compiled(add)(1, 2), cache_trouble())", folder)
        assert done.stdout.startswith("3 no folder to keep the compiled kernel in; it is compiled at each start")
        assert list(folder.iterdir()) == []


def test_damaged_and_lost_files_are_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "kept"))
    assert compiled(add)(1, 2) == 3
    [index] = tmp_path.rglob("*.nbi")
    [code] = tmp_path.rglob("*.nbc")
    for damaged in (index, code):
        damaged.write_bytes(b"")  # as a power cut leaves it
        assert compiled(add)(1, 2) == 3
        assert code.stat().st_size and index.stat().st_size  # written anew
    again = compiled(add)
    index.unlink()
    index.parent.joinpath(code.name).unlink()
    index.parent.rmdir()
    index.parent.write_text("no folder any more")
    assert again(1, 2) == 3
