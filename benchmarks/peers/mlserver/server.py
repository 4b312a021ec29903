"""MLServer: a model of its own kind behind the Open Inference Protocol, in the server's own process."""

from __future__ import annotations

import asyncio
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput
from network import Autoencoder


class Scores(MLModel):
    """Scores the rows of a request's tensors."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = Autoencoder()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score them."""
        columns = {one.name: self._values(one) for one in payload.inputs}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        answers = self.model.score(rows)
        errors = [answer["reconstruction_error"] for answer in answers]
        flags = [answer["is_anomaly"] for answer in answers]
        outputs = [
            ResponseOutput(name="reconstruction_error", shape=[len(errors), 1], datatype="FP64", data=errors),
            ResponseOutput(name="is_anomaly", shape=[len(flags), 1], datatype="BOOL", data=flags),
        ]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)

    @staticmethod
    def _values(one: RequestInput) -> list[object]:
        return StringCodec.decode_input(one) if one.datatype == "BYTES" else list(one.data)


async def main() -> None:
    """Serve it."""
    settings = Settings(
        host="127.0.0.1",
        http_port=int(sys.argv[1]),
        grpc_port=int(sys.argv[1]) + 1,
        metrics_endpoint=None,
        parallel_workers=0,
        logging_settings={"version": 1, "disable_existing_loggers": True},
    )
    server = MLServer(settings)
    await server.start([ModelSettings(name="fraud", implementation=Scores)])


asyncio.run(main())
