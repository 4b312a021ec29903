"""One of several processes that answer on one port. Quick to import: until it is, the parent hears nothing of it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.config import STARTUP_FAILURE

from app.settings import Settings
from app.telemetry import logs
from models.errors import CounterfoilError

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger(__name__)


def worker(settings: Settings, shared: Path) -> FastAPI:
    """The application of one process. One that cannot start says why, and ends in the way that ends its parent.

    Args:
        shared: folder of all processes, see :class:`app.reload.crew.Together`.
    """
    logs.configure(settings.log_level, settings.log_format)
    try:
        from app.reload.crew import Together  # noqa: PLC0415 - takes long; by now the parent is answered
        from app.service import create_app  # noqa: PLC0415
        from models.scorer import Scorer  # noqa: PLC0415

        together = Together(shared)
        together.crew.join()
        # One that takes the place of another begins with what the others serve, whichever is active by then.
        return create_app(settings, Scorer.load(together.crew.serves), together)
    except CounterfoilError as error:
        _log.error("this worker cannot start: %s", error)
    except Exception:  # noqa: BLE001 - whatever it is, another try would end in the same way
        _log.exception("this worker cannot start")
    logging.shutdown()
    os._exit(STARTUP_FAILURE)  # at once: an interpreter that winds down does not answer its parent, which waits for it
