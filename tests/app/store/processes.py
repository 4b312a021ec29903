"""Other processes that use a store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]


@contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs code in a process of its own; killed at the end, without a chance to tidy up."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


#: Opens the store at a URL, writes decisions until it is killed, and says the place of each that was acknowledged.
WRITER = """
import sys
from app.store.open import open_store
from tests.app.store.events import append, decision, key
store = open_store(sys.argv[1])
print("open", flush=True)
while True:
    print(append(store, decision(None, key("a")), states={key("a"): b"s"})[0].seq, flush=True)
"""
