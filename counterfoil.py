"""The front door: ``counterfoil --help``, and ``from counterfoil import AutoencoderOutlierDetector``.

counterfoil simulate --out payments.csv && counterfoil train payments.csv --profile payments && counterfoil serve
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.estimator import AutoencoderOutlierDetector

__all__ = ["AutoencoderOutlierDetector", "main"]


def main() -> None:
    """Run the command line; turn expected failures into one line on standard error."""
    from cli.main import main as run

    run()


def __getattr__(name: str) -> Any:
    # Imported when asked for: the command line and the service need no torch.
    if name == "AutoencoderOutlierDetector":
        from training.estimator import AutoencoderOutlierDetector

        return AutoencoderOutlierDetector
    raise AttributeError(f"module 'counterfoil' has no attribute {name!r}")


if __name__ == "__main__":
    main()
