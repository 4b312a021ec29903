"""LitServe, as its first example has it."""

import sys
from typing import Any

import litserve
from network import Autoencoder


class Scores(litserve.LitAPI):
    """Scores one transaction at a time."""

    def setup(self, device: str) -> None:
        """Load the model, in a process of LitServe's."""
        self.model = Autoencoder()

    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """The transaction as it comes."""
        return request

    def predict(self, transaction: dict[str, Any]) -> dict[str, Any]:
        """Score it."""
        return self.model.score([transaction])[0]

    def encode_response(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer as it goes."""
        return answer


if __name__ == "__main__":
    server = litserve.LitServer(Scores(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
