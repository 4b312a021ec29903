"""docs/connect.md: from a queue, every command as printed."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import generate_latest

from app.consume import progress
from tests import private_servers
from tests.app.traffic import Payments
from tests.test_docs import ADDRESS, ROOT, assert_same, run, server, sessions

SERVE = "counterfoil serve &"
PAGE = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8").partition("\n## From a queue\n")[2]


def test_a_queue_is_read_as_printed(payments: Payments, tmp_path: Path) -> None:
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    (serve, _), *pairs = sessions(PAGE.partition("\n## ")[0])
    assert serve == SERVE and len(pairs) == 8
    with private_servers.redis("--appendonly", "no") as redis, server(tmp_path) as address:
        port = urlsplit(redis.url).port
        for command, printed in pairs:
            asked = command.replace("redis-cli", f"redis-cli -p {port}").replace("127.0.0.1:6379", f"127.0.0.1:{port}")
            asked = asked.replace("counterfoil consume", f"counterfoil consume --service http://{address}")
            seen = run(asked, tmp_path).replace(f":{port}", ":6379").replace(address, ADDRESS)
            assert_same(printed, seen.replace(f" -p {port}", ""), command)


def test_the_page_names_every_metric() -> None:
    shown = progress.Progress(lambda: 0, lambda: 0.0)
    names = {line.split()[2] for line in generate_latest(shown.registry).decode().splitlines() if "# TYPE" in line}
    assert names and all(f"`{name}" in PAGE for name in names if not name.endswith("_created"))
