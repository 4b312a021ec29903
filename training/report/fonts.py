"""Matplotlib, imported without a trace: its list of fonts goes into a folder that is gone then, not into the home.

It costs a tenth of a second each time; and a report looks the same whatever the user has set for other charts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from models.dependencies import meanwhile


def load_matplotlib() -> None:
    """Import it; nothing happens where that was done before."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-fonts-") as folder, meanwhile("MPLCONFIGDIR", Path(folder)):
        import matplotlib.font_manager  # noqa: F401, PLC0415 - looks for its folder when it is imported
