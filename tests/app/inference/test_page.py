"""docs/connect.md: from a gateway, every command as printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.app.traffic import Payments
from tests.test_docs import ADDRESS, ROOT, run, server, sessions

PAGE = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8").partition("\n## From a gateway\n")[2]


def test_a_gateway_is_answered_as_printed(payments: Payments, tmp_path: Path) -> None:
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    page = PAGE.partition("\n## ")[0]
    (request,) = re.findall(r"```json\n(.*?)```", page, re.S)
    (tmp_path / "infer.json").write_text(request, encoding="utf-8")
    (serve, _), *pairs = sessions(page)
    assert serve == "counterfoil serve &" and len(pairs) == 2
    with server(tmp_path) as address:
        for command, printed in pairs:
            assert run(command.replace(ADDRESS, address), tmp_path) == printed.replace("\n", "")
