"""What a process asked of the kernel, and when, as strace saw it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.private_servers import missing

_READS, _WRITES = ("read", "recvfrom", "recvmsg"), ("write", "writev", "sendto", "sendmsg")
_SYNCS, _STORES = ("fsync", "fdatasync"), ("pwrite64",)
_LINE = re.compile(r"(\d+)\s+(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)")
_UNFINISHED = " <unfinished ...>"


#: Calls by which a process reaches out, and those by which it makes or changes a file.
OUTWARD = ("connect", "sendto", "sendmsg", "sendmmsg")
OPENING = ("open", "openat", "creat")


def strace(trace: Path, calls: tuple[str, ...] = (*_READS, *_WRITES, *_SYNCS, *_STORES)) -> list[str]:
    """The command that runs another one and writes down these calls of it; skips where it cannot."""
    if shutil.which("strace") is None:
        missing("strace is not installed")
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        missing(f"strace may not trace: {tried.stderr.strip()}")
    traced = f"trace={','.join(calls)}"
    return [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-s",
        "64",
        "-e",
        traced,
        "-e",
        "signal=none",
        "-o",
        str(trace),
    ]


def reached(trace: Path) -> set[str]:
    """Addresses that a traced process sent something to, or tried to: ``127.0.0.1:6379``."""
    text = trace.read_text(errors="replace")
    ports = r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|AF_INET6, ")([^"]+)'
    lines = (line for line in text.splitlines() if re.search(rf"\b({'|'.join(OUTWARD)})\(.*sa_family=AF_INET", line))
    return {f"{found[2]}:{found[1]}" for line in lines if (found := re.search(ports, line))}


def written(trace: Path) -> set[Path]:
    """Files that a traced process opened to write, as far as that went well."""
    text = trace.read_text(errors="replace")
    opened = re.findall(r"^\d+\s+(?:<\.\.\. )?open.*O_(?:WRONLY|RDWR|CREAT|TMPFILE).* = \d+<(/[^>]*)>$", text, re.M)
    return {Path(name) for name in opened}


@dataclass(frozen=True)
class Call:
    """One system call.

    Attributes:
        file: the descriptor with what it stands for: ``9</tmp/log.db-wal>``.
        content: its other arguments, as strace prints them.
        began, ended: lines of the trace; a call that began on a later line began later. None while it lasts.
        result: as printed, e.g. ``0`` or ``-1 EIO (Input/output error)``.
    """

    name: str
    file: str
    content: str
    began: int
    ended: int
    result: str

    @property
    def reads(self) -> bool:
        return self.name in _READS

    @property
    def writes(self) -> bool:
        return self.name in _WRITES

    def on_log(self, names: tuple[str, ...]) -> bool:
        """One of these calls on a write-ahead log."""
        return self.name in names and self.file.endswith("-wal>")


def calls(trace: Path) -> Iterator[Call]:
    """The calls of a trace, in the order of their ends."""
    waiting: dict[tuple[str, str], tuple[int, str]] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        found = _LINE.match(line)
        if found is None:
            continue
        process, name, rest = found[1], found["resumed"] or found["name"], found["rest"]
        began = number
        if found["resumed"]:
            began, start = waiting.pop((process, name), (number, ""))
            rest = start + rest
        if rest.endswith(_UNFINISHED):
            waiting[process, name] = (began, rest.removesuffix(_UNFINISHED))
            continue
        arguments, _, result = rest.rpartition(" = ")
        file, _, content = arguments.partition(">")
        yield Call(name, file + ">", content, began, number, result)


@dataclass(frozen=True)
class Reply:
    """A reply that was sent with status 200.

    Attributes:
        recorded: something was written to the write-ahead log after its request was read, and before it was sent.
        synced: and after that the log was synced, which began and succeeded before the reply was sent.
    """

    recorded: bool
    synced: bool


def replies(trace: Path, request: str) -> list[Reply]:
    """What came before each reply to a request that begins like this, e.g. ``POST /v1/score``."""
    all_calls = list(calls(trace))
    asked: dict[str, Call] = {}
    found = []
    for call in all_calls:
        if call.reads and f'"{request}' in call.content:
            asked[call.file] = call
        elif call.writes and '"HTTP/1.1 200' in call.content and call.file in asked:
            since = asked.pop(call.file).ended
            between = [one for one in all_calls if since < one.began and one.ended < call.began]
            stored = [one.ended for one in between if one.on_log(_STORES)]
            synced = any(
                one.on_log(_SYNCS) and one.result.startswith("0") and stored and one.began > stored[0]
                for one in between
            )
            found.append(Reply(bool(stored), synced))
    return found


def synced_before_requests(trace: Path) -> bool:
    """Whether a write-ahead log was synced before the first request was read."""
    all_calls = list(calls(trace))
    asked = next(call for call in all_calls if call.reads and " HTTP/1.1" in call.content)
    return any(call.on_log(_SYNCS) and call.result.startswith("0") and call.ended < asked.ended for call in all_calls)
