"""Headers that tell browsers to do nothing with an answer but show it: made once, sent with every response.

No Access-Control header is ever sent: pages of other origins can neither read an answer nor send JSON.
"""

from __future__ import annotations

from app.docs_page import POLICY

DOCS_PATH = "/docs"

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
#: Of an answer to a request for any other path.
API = (*_ALWAYS, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))
#: Of answers to requests for these.
BY_PATH = {DOCS_PATH: (*_ALWAYS, (b"content-security-policy", POLICY.encode()))}


def security_headers(path: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an answer to a request for the path."""
    return BY_PATH.get(path, API)
