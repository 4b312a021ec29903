"""The route that most people write first: FastAPI, a pydantic model, PyTorch."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from network import Autoencoder
from pydantic import BaseModel

app = FastAPI()
model = Autoencoder()


class Transaction(BaseModel):
    """What is posted; columns that are not named pass."""

    model_config = {"extra": "allow"}
    amount: float


@app.post("/predict")
async def predict(transaction: Transaction) -> dict[str, Any]:
    """Score one transaction."""
    return model.score([transaction.model_dump()])[0]


uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
