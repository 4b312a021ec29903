"""The documentation tells the truth: README sessions run as printed, settings and links exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
def server(folder: Path) -> Iterator[Callable[[], str]]:
    """What ``counterfoil serve &`` stands for in the README: it gives its address, and is stopped at the end."""
    with ExitStack() as stack:

        def start() -> str:
            command = ["counterfoil", "serve", "--port", "0"]  # nobody else's
            process = stack.enter_context(
                subprocess.Popen(command, cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.terminate)
            found = announced(process)
            assert found, "the service did not start"
            return f"127.0.0.1:{found[0]}"

        yield start


def _environment() -> dict[str, str]:
    bin_folder = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "COLUMNS": "200", "TERM": "dumb"}


@pytest.mark.early
def test_every_readme_command_prints_what_the_readme_shows(tmp_path: Path) -> None:
    pairs = sessions(README.read_text(encoding="utf-8"))
    assert len(pairs) >= 6
    assert shutil.which("counterfoil", path=_environment()["PATH"]), "install the project first: make test"
    address = ADDRESS
    with server(tmp_path) as start:
        for command, printed in pairs:
            if command.strip() == "counterfoil serve &":
                address = start()
                continue
            run = subprocess.run(
                ["bash", "-c", command.replace(ADDRESS, address)],
                check=False,
                cwd=tmp_path,
                env=_environment(),
                capture_output=True,
                text=True,
                timeout=12 * FAR,
            )
            assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
            assert_same(printed, run.stdout.strip(), command)


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


@pytest.mark.parametrize(
    "document", ["README.md", "CHANGELOG.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_relative_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{document}: dead link {target}"
