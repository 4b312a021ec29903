"""Log lines of the service and its libraries, all through one renderer: JSON, or text for reading."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from app.log_thread import ThreadedHandler
from app.request_log import FIELDS
from models.errors import CounterfoilError
from models.pan import contains_card_number

Format = Literal["json", "console"]
WITHHELD = "(withheld: it looks like a card number)"


def configure(level: str, wanted: Format | None = None, stream: TextIO = sys.stderr) -> None:
    """Log from now on, everything in this process, one line per event.

    Args:
        level: least severe level.
        wanted: console where ``stream`` is a terminal and nothing is said.
    """
    style: Format = wanted or ("console" if stream.isatty() else "json")
    handler = ThreadedHandler(stream)
    handler.setFormatter(formatter(style, colors=stream.isatty()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


def formatter(style: Format, *, colors: bool = False) -> logging.Formatter:
    """The renderer of every record, whoever wrote it."""
    last: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if style == "json"
        else [_readable, structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            _origin,
            _no_card_number,
            structlog.stdlib.ExtraAdder(allow=FIELDS),
            _exception,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


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


def _origin(_logger: Any, level: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {"timestamp": time, "level": level, "logger": record.name, **event}


def _no_card_number(_logger: Any, _level: str, event: EventDict) -> EventDict:
    """Libraries write messages, too; what they might repeat of a request ends here."""
    if contains_card_number(event["event"]):
        event["event"] = WITHHELD
    return event


def _exception(_logger: Any, _level: str, event: EventDict) -> EventDict:
    raised = event.pop("exc_info", None)
    if raised is not None and raised[1] is not None:
        event["exception"] = trace(raised[1])
    return event


def _readable(_logger: Any, _level: str, event: EventDict) -> EventDict:
    """Control characters escaped, so that no event takes more than its line or changes the terminal."""
    if not event["event"].isprintable():
        event["event"] = event["event"].encode("unicode_escape").decode()
    return event
