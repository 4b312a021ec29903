"""Log lines of the service and its libraries, all through one renderer: JSON, or text for reading."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

from app.telemetry.log_thread import ThreadedHandler
from models.errors import CounterfoilError
from models.pan import contains_card_number

Style = Literal["json", "console"]
#: Attribute of a record that holds further fields of its line.
FIELDS = "counterfoil_fields"
WITHHELD = "(withheld: it looks like a card number)"


def configure(level: str, style: Style | None = None, stream: TextIO = sys.stderr) -> None:
    """Log from now on, everything in this process, one line per event.

    Args:
        level: least severe level.
        style: by default console where ``stream`` is a terminal, else JSON.
    """
    handler = ThreadedHandler(stream)
    handler.setFormatter(Renderer(style or ("console" if stream.isatty() else "json"), colors=stream.isatty()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


class Renderer(logging.Formatter):
    """One line of any record: timestamp, level, logger, event, and the fields under :data:`FIELDS`.

    What libraries log is let through but for card numbers; of exceptions, as :func:`trace`. Used by one thread.
    """

    def __init__(self, style: Style, *, colors: bool = False) -> None:
        super().__init__()
        encode = json.JSONEncoder(default=repr).encode  # escapes control characters, and all that is not ASCII
        self._render: Processor = (
            structlog.processors.JSONRenderer(lambda event, **_: encode(event))
            if style == "json"
            else structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0)
        )
        self._escape = style == "console"
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: dict[str, Any] | None = getattr(record, FIELDS, None)
        text = record.getMessage()
        if fields is None and contains_card_number(text):
            text = WITHHELD
        if self._escape and not text.isprintable():  # or it would take several lines, or steer the terminal
            text = text.encode("unicode_escape").decode()
        level = record.levelname.lower()
        event = {"timestamp": self._time(record.created), "level": level, "logger": record.name, "event": text}
        if fields:
            event |= fields
        if record.exc_info and record.exc_info[1] is not None:
            event["exception"] = trace(record.exc_info[1])
        return str(self._render(None, level, event))

    def _time(self, created: float) -> str:
        """ISO 8601, UTC, milliseconds."""
        second = int(created)
        if second != self._second[0]:
            self._second = (second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}")
        return f"{self._second[1]}.{int((created - second) * 1_000):03d}Z"


def trace(error: BaseException) -> str:
    """An exception's type and where it was raised, innermost first. Its message only where it is one of ours: any
    other could hold a caller's values.
    """
    where = " < ".join(
        f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    )
    said = f": {error}" if isinstance(error, CounterfoilError) else ""
    return f"{type(error).__name__}{said} in {where}"
