"""``counterfoil models`` and its subcommands: versions that are missing, damaged, or wider than the terminal; the way
back, and what served when."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from app.recording.activations import activated
from app.store.open import open_store
from models.bundle import read_manifest
from models.registry import Registry
from models.rethreshold import rethreshold
from models.thresholds import Policy
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
    assert cli("models", "list").out == done.out
    assert (cli("models", "verify").code, cli("models", "verify", "--artifacts", tiny_model.parent).code) == (1, 0)


@pytest.fixture
def versions(cli: Cli, tiny_model: Path) -> tuple[str, str]:
    """The tiny version and the same with another threshold, which served one after the other."""
    registry = Registry(cli.folder / "artifacts")
    shutil.copytree(tiny_model, registry.root / tiny_model.name)
    rethreshold(registry.folder(tiny_model.name), registry, Policy(name="alert-rate", value=0.2))
    old, new = registry.versions()
    with closing(open_store("sqlite:///counterfoil.db")) as store:
        for version in (old, new):
            registry.activate(version)
            activated(store, read_manifest(registry.folder(version)), "alice")
    return old, new


def test_the_way_back_is_what_served_before(cli: Cli, versions: tuple[str, str]) -> None:
    old, new = versions
    where = ("--database", "sqlite:///counterfoil.db")
    assert cli("models", "rollback", *where).out == f"Active: {old} (before: {new})\n"
    assert (cli.folder / "artifacts" / "active").read_text().splitlines()[0] == old
    # Not taken over by a service yet: the way back from there is the one that still serves.
    assert cli("models", "rollback", *where).out == f"Active: {new} (before: {old})\n"
    refused(cli("models", "rollback", "--database", "sqlite:///none.db"), "error: ")


def test_what_served_when(cli: Cli, versions: tuple[str, str]) -> None:
    where = ("--database", "sqlite:///counterfoil.db")
    done = cli("models", "at", "0s", *where)
    assert done.out.startswith(f"{versions[1]}, since 20")
    assert "  by           alice\n" in done.out
    assert f"  before       {versions[0]}\n" in done.out
    refused(
        cli("models", "at", "2020-01-01T00:00:00Z", *where), "error: no version served from this store at that time"
    )
    refused(cli("models", "at", "yesterday", *where), "error: TIME: expected a time")


def test_what_a_version_is_and_how_two_differ(cli: Cli, versions: tuple[str, str]) -> None:
    old, new = versions
    shown = cli("models", "show", new)
    assert shown.out.startswith(f"Model version {new}, active\n")
    assert "alert-rate 0.2" in shown.out
    told = cli("models", "diff", old).out
    assert "threshold.policy.value: " in told
    assert "training.fingerprint" not in told
    assert cli("models", "diff", old, old).out == "No difference.\n"
