"""How small the models are that the suite trains."""

from __future__ import annotations

from models.thresholds import Policy
from training.fit import FitOptions

TINY_FIT = FitOptions(hidden=(16,), steps=80)
TINY_POLICY = Policy(name="alert-rate", value=0.05)
