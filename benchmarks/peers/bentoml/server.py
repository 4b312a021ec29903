"""BentoML: a service with one method, started by its own command."""

from __future__ import annotations

import os
import sys
from typing import Any

import bentoml
from network import Autoencoder


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Scores:
    """Scores one transaction at a time."""

    def __init__(self) -> None:
        self.model = Autoencoder()

    @bentoml.api(route="/predict")
    async def predict(self, transaction: dict[str, Any]) -> dict[str, Any]:
        """Score it."""
        return self.model.score([transaction])[0]


if __name__ == "__main__":
    command = ["bentoml", "serve", "server:Scores", "--host", "127.0.0.1", "--port", sys.argv[1]]
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.execv(sys.executable, [sys.executable, "-m", *command])
