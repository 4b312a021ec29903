"""Headers that tell browsers to do nothing with an answer but show it: made once, sent with every response.

No Access-Control header is ever sent: pages of other origins can neither read an answer nor send JSON.
"""

from __future__ import annotations

from app.docs_page import POLICY

DOCS_PATH, CONSOLE_PATH = "/docs", "/console"

_EVERYWHERE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_ALWAYS = (*_EVERYWHERE, (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-store"))
#: Of an answer to a request for any other path.
API = (*_ALWAYS, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))
#: Of answers to requests for these.
BY_PATH = {DOCS_PATH: (*_ALWAYS, (b"content-security-policy", POLICY.encode()))}


#: The console's pages load their own files and post to themselves. Without a referrer, browsers would name no origin
#: with a form either, by which requests from elsewhere are told apart.
_CONSOLE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_CONSOLE = (
    *_EVERYWHERE,
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", _CONSOLE_POLICY),
)
CONSOLE = (*_CONSOLE, (b"cache-control", b"no-store"))
#: Their address changes with their content.
CONSOLE_FILE = (*_CONSOLE, (b"cache-control", b"public, max-age=31536000, immutable"))


def security_headers(path: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an answer to a request for the path."""
    if path.startswith(CONSOLE_PATH):
        return CONSOLE_FILE if path.startswith(f"{CONSOLE_PATH}/static/") else CONSOLE
    return BY_PATH.get(path, API)
