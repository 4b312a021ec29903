"""docs/connect.md: alerts are sent, every command as printed."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.webhooks.cursors import Cursors
from app.webhooks.metrics import Metrics
from models.errors import CounterfoilError
from tests.app.traffic import Payments
from tests.test_docs import ADDRESS, ROOT, assert_same, environment, run, server, sessions
from tests.waiting import until

PAGE = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8").partition("\n## Send alerts\n")[2]
PAGE = PAGE.partition("\n## ")[0]


@contextmanager
def background(command: str, folder: Path) -> Iterator[None]:
    """A command that goes on; at the end it is asked to stop, and does."""
    process = subprocess.Popen(["bash", "-c", f"exec {command.removesuffix(' &')}"], cwd=folder, env=environment())
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def test_alerts_are_sent_as_printed(payments: Payments, tmp_path: Path) -> None:
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    (receiver,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "receiver.py").write_text(receiver.replace("9000", port), encoding="utf-8")
    commands = [(command.replace("9000", port), printed) for command, printed in sessions(PAGE)]
    place = [command.endswith("&") for command, _ in commands].index(True)
    (start, _), tried, (serve, _), (follow, _), *rest = commands[place:]
    assert serve == "counterfoil serve &" and follow == "counterfoil webhooks run &"

    def shown(command: str, printed: str) -> None:
        assert_same(printed, run(command, tmp_path).replace(port, "9000"), command)

    for command, printed in commands[:place]:
        shown(command, printed)
    with background(start, tmp_path):
        until(lambda: socket.create_connection(("127.0.0.1", int(port))), not_yet=(OSError,)).close()
        shown(*tried)
        with server(tmp_path) as address, background(follow, tmp_path):
            until(lambda: begun(tmp_path / "webhooks.db"), "its first look", not_yet=(CounterfoilError,))
            for command, printed in rest:
                shown(command.replace(ADDRESS, address), printed)


def begun(path: Path) -> bool:
    """Whether the endpoint's place in the log is known: what arrives from then on is sent."""
    with closing(Cursors(path, writes=False)) as cursors:
        return cursors.of("queue") is not None


def test_the_page_names_every_metric() -> None:
    metrics = Metrics()
    metrics.of("queue", lambda: 0.0)
    names = {one.name for family in metrics.registry.collect() for one in family.samples}
    assert names and all(f"`{name}{{" in PAGE for name in names)
