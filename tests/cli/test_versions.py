"""``counterfoil models``, ``activate``: versions that are missing, damaged, or wider than the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.command_line import Cli, refused


def test_models_that_are_not_there(cli: Cli, tiny_csv: Path) -> None:
    refused(
        cli("score", tiny_csv, "--out", "o.csv"),
        "error: no active model in artifacts: run 'counterfoil train' first, or name --model",
    )
    refused(
        cli("score", tiny_csv, "--out", "o.csv", "--model", "v1"),
        "error: no model version 'v1' in artifacts (latest: none",
    )
    refused(cli("activate", "v1"), "error: no model version 'v1' in artifacts")
    done = cli("models")
    assert done.code == 0 and done.out == "No model versions in artifacts. Run 'counterfoil train' first.\n"


def test_a_narrow_terminal_cuts_no_version_off(cli: Cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert re.search(rf"{tiny_model.name} .* \d\.\d+\s*$", cli("models", "--artifacts", tiny_model.parent).out)


def test_a_damaged_model_is_named_and_listed(cli: Cli, tiny_model: Path, tiny_csv: Path) -> None:
    copy = cli.folder / "artifacts" / tiny_model.name
    copy.mkdir(parents=True)
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "report.html").write_text("changed")
    refused(
        cli("score", tiny_csv, "--out", "o.csv", "--model", tiny_model.name),
        "error: report.html: failed check 'sha256': the content is not what the manifest recorded; restore the version",
    )
    refused(cli("activate", tiny_model.name), "error: report.html: failed check 'sha256'")
    (copy / "manifest.json").write_text("{}")
    done = cli("models")
    assert done.code == 0 and f"{tiny_model.name}  damaged: manifest.json: failed check 'format'" in done.out
