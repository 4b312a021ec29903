"""The rules of the house: who imports whom, and what serving never loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {folder: sorted((ROOT / folder).rglob("*.py")) for folder in ("app", "cli", "models", "training")}
HEAVY = ("torch", "pandas", "sklearn", "scipy", "matplotlib", "onnxscript")
#: Packages of the service; each imports none but those above it.
LAYERS = ("store", "access", "telemetry", "requests", "upload", "recording", "decisions", "http")
TORCH_MODULES = {"autoencoder.py", "memory.py", "normaliser.py", "detector.py"}


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports anywhere in it, even inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add(path.relative_to(ROOT).parts[0])
    return found


def test_there_is_something_to_look_at() -> None:
    assert all(len(files) > 5 for files in SOURCES.values())
    assert "models" in imported(ROOT / "app" / "service.py")


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [("app", {"training"}), ("training", {"app"}), ("models", {"app", "training"}), ("cli", set())],
)
def test_app_and_training_meet_only_in_models(folder: str, forbidden: set[str]) -> None:
    for path in SOURCES[folder]:
        assert not imported(path) & (forbidden | {"counterfoil", "cli", "tests"} - {folder}), path


def test_the_command_line_imports_either_side_only_inside_a_command() -> None:
    #: Of the standard library's weight; they name the choices that options offer, and the errors.
    light = {"models.errors", "app.store.contract"}
    for path in SOURCES["cli"]:
        top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
        sides = {node.module for node in top if node.module and node.module.split(".")[0] in SOURCES}
        assert {name for name in sides if not name.startswith("cli.")} <= light, path


def test_the_door_opens_the_command_line_alone() -> None:
    assert imported(ROOT / "counterfoil.py") == {"__future__", "typing", "cli", "training"}


def test_the_packages_of_the_service_stand_on_each_other() -> None:
    assert set(LAYERS) == {path.parent.name for path in (ROOT / "app").glob("*/__init__.py")}
    for place, package in enumerate(LAYERS):
        for path in (ROOT / "app" / package).rglob("*.py"):
            found = re.findall(r"from app\.(\w+)[. ]", path.read_text(encoding="utf-8"))
            assert not set(found) & set(LAYERS[place + 1 :]), path


def test_torch_stays_in_its_modules_and_out_of_serving() -> None:
    with_torch = {path.name for path in SOURCES["models"] if "torch" in imported(path)}
    assert with_torch == TORCH_MODULES
    for path in (*SOURCES["models"], *SOURCES["app"]):
        allowed = {"torch"} if path.name in TORCH_MODULES else set()
        assert not imported(path) & set(HEAVY) - allowed, path
        if path.name not in TORCH_MODULES:
            source = path.read_text(encoding="utf-8")
            for module in TORCH_MODULES:
                assert f"models.{module.removesuffix('.py')} import" not in source, path


def test_serving_loads_nothing_heavy() -> None:
    modules = ["counterfoil", "models.scorer", "models.batch"]
    modules += [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES["app"]]
    # Numba looks whether SciPy is there, and would load it here; it does not need it.
    code = f"import sys; sys.modules['scipy'] = None; import {', '.join(modules)}\n"
    code += f"print([m for m in {HEAVY!r} if sys.modules.get(m)])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environment_is_read_in_one_place() -> None:
    """For settings. What dependencies take from it is set in one other."""
    for path in (p for files in SOURCES.values() for p in files):
        if path not in (ROOT / "app" / "settings.py", ROOT / "models" / "dependencies.py"):
            source = path.read_text(encoding="utf-8")
            assert "os.environ" not in source and "getenv" not in source, path
