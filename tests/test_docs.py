"""The documentation tells the truth: README sessions run as printed, settings and links exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.problems import KINDS
from app.settings import PREFIX, Settings
from tests.app.test_server import announced
from tests.waiting import FAR

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
ADDRESS = "127.0.0.1:8000"
_SESSION = re.compile(r"```console\n(.*?)```", re.S)
_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def sessions(text: str) -> list[tuple[str, str]]:
    """(command, printed output) pairs of the console blocks, in order.

    A command goes on where a quote is open or a line ends with a backslash; ``> `` may begin such a line.
    """
    pairs: list[tuple[str, str]] = []
    for block in _SESSION.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            lines = part.split("\n")
            last = 0
            while "".join(lines[: last + 1]).count("'") % 2 or lines[last].endswith("\\"):
                last += 1
                lines[last] = lines[last].removeprefix("> ")
            pairs.append(("\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :]).strip()))
    return pairs


def shape(text: str) -> str:
    """Output with versions and figures taken out and white space evened."""
    return " ".join(_NUMBER.sub("#", _VERSION.sub("VERSION", text)).split())


def figures(text: str) -> list[str]:
    return [number.replace(",", "") for number in _NUMBER.findall(_VERSION.sub("", text))]


def assert_same(printed: str, seen: str, command: str) -> None:
    """Same words; same figures within what another processor may change of a trained network.

    Figures printed to the last digit belong to single transactions and are not compared.
    """
    assert shape(seen) == shape(printed), f"output of: {command}\n{seen}"
    for expected, found in zip(figures(printed), figures(seen), strict=True):
        if len(expected) <= 8:
            assert float(found) == pytest.approx(float(expected), rel=0.5, abs=0.06), f"{command}\n{seen}"


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """What ``make serve`` ends with; the service's address."""
    command = ["counterfoil", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        found = announced(process)
        assert found
        try:
            yield f"127.0.0.1:{found[0]}"
        finally:
            process.terminate()


def environment() -> dict[str, str]:
    bin_folder = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "COLUMNS": "200", "TERM": "dumb"}


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        check=False,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=12 * FAR,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.mark.early
def test_every_command_of_readme_and_tour_prints_what_they_show(tmp_path: Path) -> None:
    """In the folder of a first ``make serve``: the README's training is the one that its recipe has."""
    assert shutil.which("counterfoil", path=environment()["PATH"]), "install the project first: make test"
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(DEMO)", "artifacts/simulated")
    first = re.findall(r"\$\(BIN\)/(counterfoil (?:simulate|train) .*?)(?:;| && )", recipe)
    readme, tour = (sessions(path.read_text(encoding="utf-8")) for path in (README, ROOT / "docs" / "tour.md"))
    trained = next(pair for pair in readme if pair[0] == first[1])
    assert len(readme) >= 3 and len(tour) >= 4
    run(first[0], tmp_path)
    assert_same(trained[1], run(trained[0], tmp_path), trained[0])
    with server(tmp_path) as address:
        for command, printed in readme + tour:
            if command != trained[0]:
                assert_same(printed, run(command.replace(ADDRESS, address), tmp_path), command)


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"`make ([a-z-]+)`", README.read_text(encoding="utf-8"))) <= targets


def test_the_list_of_settings_is_complete_and_true() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(rf"^- `{PREFIX}([A-Z_]+)` \((?:default `([^`]+)`|not set)\):", text, flags=re.M))
    fields = {
        name.upper(): "" if field.default is None else str(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert rows == fields


def test_every_kind_of_problem_is_in_the_api_guide_beside_its_status() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = {kind: int(status) for status, kind in re.findall(r"^- (\d{3}) `([a-z-]+)`:", text, flags=re.M)}
    assert told == {kind: status for kind, (status, _) in KINDS.items()} | {"method-not-allowed": 405}  # Starlette's


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_wrap_at_100_columns(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").split("\n")
    assert not [(number, line) for number, line in enumerate(lines, start=1) if len(line) > 100]


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"dead link {target}"
        assert not anchor or anchor in anchors(there), f"no heading for {target}"


def test_the_readme_is_short_and_shows_first_what_it_is() -> None:
    lines = README.read_text(encoding="utf-8").split("\n")
    assert len(lines) <= 111  # the last one is empty
    screen = "\n".join(lines[:50])
    assert all(shown in screen for shown in ("](docs/", "make serve", "make test", "$ curl", '"decision": '))
