"""The rules of the house: who imports whom, and what serving never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {folder: sorted((ROOT / folder).rglob("*.py")) for folder in ("app", "cli", "models", "spark", "training")}
HEAVY = ("torch", "pandas", "sklearn", "scipy", "matplotlib")
#: Packages and modules of the service, each in its place; it imports none that stands below it.
LAYERS = (
    "address", "health", "private_file", "file_signature", "file_claim", "docs_page", "security_headers", "refusals",
    "beside",
    "store", "access.keys", "access.key_changes", "access.exposure", "settings", "problems", "access", "telemetry",
    "pseudonyms", "requests", "replies", "upload", "rules", "recording", "generation", "replays", "serving",
    "request_id", "admission", "reload", "drift", "gauges", "decisions", "rules.backtest", "rules.hits",
    "rules.follower", "rules.routes", "shadow", "webhooks", "versions", "console", "endpoints", "inference", "routes",
    "openapi", "http", "shortcut", "service", "worker", "workers", "server", "consume",
)  # fmt: skip
#: Lines of a module; a longer one says in its docstring why.
MOST_LINES = 300
TORCH_MODULES = {
    "autoencoder.py",
    "convolution.py",
    "layers.py",
    "memory.py",
    "normaliser.py",
    "detector.py",
    "singles.py",
    "trees.py",
    "curves.py",
    "export.py",
    "torch_operators.py",
    "second_opinion.py",
}


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
    [
        ("app", {"training", "spark"}),
        ("training", {"app", "spark"}),
        ("models", {"app", "training", "spark"}),
        ("spark", {"app", "training"}),
        ("cli", set()),
    ],
)
def test_app_and_training_meet_only_in_models(folder: str, forbidden: set[str]) -> None:
    for path in SOURCES[folder]:
        assert not imported(path) & (forbidden | {"counterfoil", "cli", "tests"} - {folder}), path


def test_the_command_line_imports_either_side_only_inside_a_command() -> None:
    #: Of the standard library's weight; they name the choices that options offer, and the errors.
    light = {"models.dependencies", "models.errors", "app.store.contract"}
    for path in SOURCES["cli"]:
        top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
        sides = {node.module for node in top if node.module and node.module.split(".")[0] in SOURCES}
        assert {name for name in sides if not name.startswith("cli.")} <= light, path


def test_the_door_opens_the_command_line_alone() -> None:
    assert imported(ROOT / "counterfoil.py") == {"__future__", "typing", "cli", "training"}


def layer(module: str) -> int:
    """The place of a module of the service, without "app.": that of itself, or of the package it is in."""
    names = [module.rsplit(".", cut)[0] for cut in range(module.count(".") + 1)]
    return next(LAYERS.index(name) for name in names if name in LAYERS)


def of_service(path: Path) -> set[str]:
    """Modules of the service that a module imports anywhere in it, without "app."."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "app":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("app."):
            found.add(node.module.removeprefix("app."))
    return found


def test_the_modules_of_the_service_stand_on_each_other() -> None:
    seen = set()
    for path in SOURCES["app"]:
        module = ".".join(path.relative_to(ROOT / "app").with_suffix("").parts).removesuffix(".__init__")
        if module == "__init__":
            continue
        seen.add(LAYERS[layer(module)])
        above = {one for one in of_service(path) if layer(one) > layer(module)}
        assert not above, f"{module} imports {above}"
    assert seen == set(LAYERS)


def test_a_long_module_says_why() -> None:
    for path in (p for files in SOURCES.values() for p in files):
        source = path.read_text(encoding="utf-8")
        if source.count("\n") > MOST_LINES:
            assert "long" in (ast.get_docstring(ast.parse(source)) or "").lower(), (
                f"{path}: {MOST_LINES} lines and more"
            )


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


def test_spark_stays_in_its_room() -> None:
    for path in (p for folder, files in SOURCES.items() if folder != "spark" for p in files):
        top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if not isinstance(node, ast.If)]
        assert not imported(path) & {"pyarrow"}, path
        assert not any("pyspark" in ast.unparse(node) for node in top if isinstance(node, ast.ImportFrom)), path


def test_serving_loads_nothing_heavy() -> None:
    modules = ["counterfoil", "models.scorer", "models.batch"]
    modules += [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES["app"]]
    if find_spec("confluent_kafka") is None:  # an environment from before the extra: the locks bring it
        modules.remove("app.consume.kafka")
    code = f"import sys; import {', '.join(modules)}\n"
    code += f"print([m for m in {(*HEAVY, 'numba')!r} if m in sys.modules])"  # it compiles the behaviour kernel
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environment_is_read_in_one_place() -> None:
    """For settings. What dependencies take from it is set in one other."""
    for path in (p for files in SOURCES.values() for p in files):
        if path not in (ROOT / "app" / "settings.py", ROOT / "models" / "dependencies.py"):
            source = path.read_text(encoding="utf-8")
            assert "os.environ" not in source and "getenv" not in source, path
