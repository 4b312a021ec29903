"""The front door: light to open, and behind it what is asked for, no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What makes a start slow, or is missing where only the service is installed.
HEAVY = {"torch", "onnxruntime", "polars", "numpy", "numba", "sqlalchemy", "fastapi", "uvicorn", "pydantic_settings"}


def loaded_by(code: str) -> set[str]:
    """Packages that a fresh interpreter has loaded after this code."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_it_loads_nothing() -> None:
    assert not loaded_by("import counterfoil") & (HEAVY | {"typer", "rich", "cli", "training"})


def test_the_detector_is_behind_it() -> None:
    loaded = loaded_by("from counterfoil import AutoencoderOutlierDetector as d; print(d.__module__)")
    assert {"torch", "training"} <= loaded and "cli" not in loaded


def test_what_is_not_behind_it_is_named() -> None:
    import counterfoil

    with pytest.raises(AttributeError, match="no attribute 'Autoencoder'"):
        counterfoil.Autoencoder  # noqa: B018


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["serve", "--help"], ["keys", "list", "--help"]]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys, counterfoil\nsys.argv = ['counterfoil', *{arguments!r}]\n"
    code += "try: counterfoil.main()\nexcept SystemExit: pass"
    assert not loaded_by(code) & HEAVY
