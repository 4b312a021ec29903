"""An environment that passes for whole is whole; what fails says why and where to read on."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from requirements.install import TARGETS, Failed, Step, Target, install, main

ROOT = Path(__file__).parents[2]
WHEEL = "tiny-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel that needs no index and an environment with pip."""
    root = tmp_path_factory.mktemp("checkout")
    with ZipFile(root / WHEEL, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    install(target(), root, io.StringIO())
    return root


def target(*pip: str, stamp: str = "base") -> Target:
    return Target(".venv", stamp, [Step("nothing", "a second", ["--no-index", *pip])] if pip else [])


def test_a_target_that_is_whole_has_its_stamp_and_its_packages(root: Path) -> None:
    out = io.StringIO()
    install(target(f"./{WHEEL}", stamp="whole"), root, out)
    assert (root / ".venv" / "whole").exists() and not (root / ".venv.installing").exists()
    assert list((root / ".venv").rglob("tiny.py"))
    assert re.fullmatch(r"1/1 installing nothing \(about a second\) …\n +done in \d+ s\n", out.getvalue())


def test_a_failing_step_names_the_log_and_shows_its_last_lines(root: Path) -> None:
    with pytest.raises(Failed, match=r"(?s)No matching distribution .*All of its output: .*install\.log") as failed:
        install(target("absent-from-everywhere", stamp="broken"), root, io.StringIO())
    assert not (root / ".venv" / "broken").exists()
    assert len(str(failed.value).splitlines()) <= 13
    assert "absent-from-everywhere" in (root / "install.log").read_text(encoding="utf-8")


def test_an_environment_whose_installation_was_killed_is_made_anew(root: Path) -> None:
    left = root / ".venv" / "half.py"
    left.touch()
    (root / ".venv.installing").touch()
    install(target(f"./{WHEEL}", stamp="again"), root, io.StringIO())
    assert not left.exists() and (root / ".venv" / "again").exists()
    assert not (root / ".venv.installing").exists()


def test_what_stands_on_another_target_begins_with_it_where_the_environment_is_new() -> None:
    assert [TARGETS[name].after for name in ("serve", "dev", "bench", "tools")] == [None, "serve", "dev", None]
    assert {TARGETS[name].venv for name in ("serve", "dev", "bench")} == {".venv"}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_ends_the_step_and_leaves_the_mark(root: Path) -> None:
    """pip reads its requirements from a pipe that nobody writes to: it is surely at work when the signal comes."""
    pipe = root / "requirements.pipe"
    os.mkfifo(pipe)
    script = (
        "import sys; from pathlib import Path; from requirements import install as i; "
        "i.TARGETS['serve'] = i.Target('.venv', 'stuck', [i.Step('a pipe', 'ever', ['-r', 'requirements.pipe'])]); "
        "sys.exit(i.main(['serve'], Path(sys.argv[1])))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stderr=subprocess.PIPE, env=environment
    ) as process:
        with pipe.open("wb"):  # opens once pip has opened the other end
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        assert process.stderr is not None and b"Interrupted." in process.stderr.read()
    assert (root / ".venv.installing").exists() and not (root / ".venv" / "stuck").exists()


def test_an_unknown_target_is_told_with_those_there_are(tmp_path: Path) -> None:
    out = io.StringIO()
    assert main(["everything"], tmp_path, out) == 2
    assert "serve|dev|spark|bench|tools" in out.getvalue()


def test_a_python_without_venv_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # how Python itself marks a module that cannot be imported
    out = io.StringIO()
    assert main(["serve"], tmp_path, out) == 2
    assert re.search(r"apt install python3\.\d+-venv", out.getvalue())
