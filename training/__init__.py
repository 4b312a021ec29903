"""The offline job: read, split, fit, calibrate, evaluate, report, publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.estimator import AutoencoderOutlierDetector

__all__ = ["AutoencoderOutlierDetector"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: simulating or guessing a profile needs no torch.
    if name == "AutoencoderOutlierDetector":
        from training.estimator import AutoencoderOutlierDetector  # noqa: PLC0415

        return AutoencoderOutlierDetector
    raise AttributeError(f"module 'training' has no attribute {name!r}")
