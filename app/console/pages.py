"""Pages and the files beside them: templates filled in, answers compressed, and what browsers may do with them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from app.store.sql.cases import MOST_COUNTED

PREFIX = "/console"
#: Name of a file -> its type.
_FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HTML = "text/html; charset=utf-8"
#: Smaller answers are not worth compressing.
_SMALL = 1_000


def respond(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page.

    Args:
        values: what the template names.
    """
    page = _environment().get_template(template).render(static=address, prefix=PREFIX, **values)
    return _compressed(request, page.encode(), _HTML, status)


def file(request: Request) -> Response:
    """A file beside the pages; 404 for any other name."""
    name = request.path_params["name"]
    if name not in _FILES:
        return Response(status_code=404)
    return _compressed(request, content(name), _FILES[name])


def address(name: str) -> str:
    """Where a file is, with its hash: browsers keep it until it is another one."""
    return f"{PREFIX}/static/{name}?{sha256(content(name)).hexdigest()[:12]}"


@cache
def content(name: str) -> bytes:
    """A file's bytes."""
    return (files("app.console") / "static" / name).read_bytes()


@cache
def _zipped(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def _compressed(request: Request, body: bytes, media_type: str, status: int = 200) -> Response:
    headers = {"Vary": "Accept-Encoding"}
    if len(body) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, 5, mtime=0) if media_type == _HTML else _zipped(body)
    return Response(body, status, headers, media_type)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("app.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "when": when,
        "ago": ago,
        "score": score,
        "sentence": sentence,
        "pair": lambda pair: urlencode([pair]),
        "number": lambda value: f"{value:,}",
        "many": many,
    }
    return found


def when(micros: int) -> str:
    """A time in UTC, to the minute."""
    return f"{datetime.fromtimestamp(micros / 1e6, UTC):%d %b %Y %H:%M}"


def ago(micros: int) -> str:
    """A stretch of time in one unit: 45 s, 12 min, 3.5 h, 6 d."""
    seconds = max(micros, 0) / 1e6
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 86_400:.0f} d"


def score(value: float) -> str:
    """A score to five digits. Never rounded up to 1, which it cannot be."""
    text = f"{value:.5f}"
    return "0.99999" if text == "1.00000" else text


def many(value: int) -> str:
    """How many cases, of those that are counted."""
    return f"{value:,}{'+' if value >= MOST_COUNTED else ''}"


def sentence(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]
