"""Whether what came is one whole request for scores whose framing is beyond doubt, told from its bytes alone.

A parser makes some forty calls for a request. One that is refused whatever it holds need not be parsed; what is
unusual in any way is told by the parser, as always.
"""

from __future__ import annotations

import re

#: Longer ones are parsed.
_MOST = 16 << 10
_BEGINS = b"POST /v1/score"
_ANY = (
    rb"(?:\r\n(?:connection:[\t ]*keep-alive[\t ]*(?=\r|\Z)"
    rb"|(?!(?:(?:proxy-)?connection|content-length|expect|transfer-encoding|upgrade):)"
    rb"[!#$%&'*+.^_`|~0-9a-z-]+:[\t -~\x80-\xff]*))*"
)
_HEAD = re.compile(
    rb"POST /v1/score(?:/batch)?(?:\?[!-~]*)? HTTP/1\.1"
    + _ANY
    + rb"\r\ncontent-length:[\t ]*([0-9]{1,9})[\t ]*(?=\r|\Z)"
    + _ANY,
    re.IGNORECASE,
)


def asks_for_scores(data: bytes) -> bool:
    """Whether the bytes are exactly one such request, and its client keeps the connection."""
    if not data.startswith(_BEGINS) or len(data) > _MOST:
        return False
    end = data.find(b"\r\n\r\n")
    head = _HEAD.fullmatch(data, 0, end) if end > 0 else None
    return head is not None and len(data) == end + 4 + int(head[1])
