"""The locks hold all that pyproject.toml asks for, in a version it allows, with hashes and nothing of a machine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
#: Lock -> the extras in it, besides the core.
EXTRAS = {
    "serve": ("postgresql", "redis", "kafka", "rules"),
    "serve-oidc": ("postgresql", "redis", "kafka", "rules", "oidc"),
    "train": ("training", "postgresql", "redis", "kafka", "rules", "oidc", "excel"),
    "dev": ("dev",),
    "spark": ("spark",),
}
ENVIRONMENTS = [
    {"python_version": minor, "python_full_version": f"{minor}.4", "sys_platform": platform}
    for minor in ("3.11", "3.12", "3.13", "3.14")
    for platform in ("linux", "darwin", "win32")
]
_ENTRY = re.compile(r"(\S+)==(\S+?)(?: ; (.+?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


@cache
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def asked(extras: tuple[str, ...]) -> Iterator[Requirement]:
    """What pyproject.toml asks for with these extras, but for the project itself."""
    declared: dict[str, list[str]] = project()["project"]["optional-dependencies"]  # type: ignore[index]
    core: list[str] = project()["project"]["dependencies"]  # type: ignore[index]
    build: list[str] = project()["build-system"]["requires"]  # type: ignore[index]
    for text in (*core, *build, *(text for extra in extras for text in declared[extra])):
        requirement = Requirement(text)
        if requirement.name == "counterfoil":
            yield from asked(tuple(requirement.extras))
        else:
            yield requirement


@cache
def locked(lock: str) -> list[Requirement]:
    """The pins of a lock; the whole file is pins with hashes."""
    text = (FOLDER / f"{lock}.lock").read_text(encoding="utf-8")
    assert not _ENTRY.sub("", text), f"{lock}.lock has lines that are no pin with hashes"
    return [
        Requirement(f"{name}=={version}" + (f" ; {marker}" if marker else ""))
        for name, version, marker, _ in _ENTRY.findall(text)
    ]


def versions(lock: str, environment: dict[str, str]) -> dict[str, Version]:
    """What a lock installs in an environment."""
    found: dict[str, Version] = {}
    for pin in locked(lock):
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in found, f"{lock}.lock has {name} twice for {environment}"
            (only,) = pin.specifier
            found[name] = Version(only.version)
    return found


@pytest.mark.parametrize("lock", EXTRAS)
@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda e: f"{e['python_version']}-{e['sys_platform']}")
def test_a_lock_has_all_that_pyproject_asks_for(lock: str, environment: dict[str, str]) -> None:
    found = versions(lock, environment)
    for requirement in asked(EXTRAS[lock]):
        name = canonicalize_name(requirement.name)
        if name == "torch" or not (requirement.marker is None or requirement.marker.evaluate(environment)):
            continue
        assert name in found, f"{lock}.lock lacks {name}: run make lock"
        assert requirement.specifier.contains(found[name]), f"{lock}.lock has {name} {found[name]}: run make lock"


def test_torch_is_pinned_once_and_locked_nowhere() -> None:
    (pin,) = (requirement for requirement in asked(("training",)) if requirement.name == "torch")
    assert (FOLDER / "torch.txt").read_text(encoding="utf-8") == f"{pin}\n"
    metadata = project()["tool"]["uv"]["dependency-metadata"][0]  # type: ignore[index]
    assert f"torch=={metadata['version']}" == str(pin)
    for lock in EXTRAS:
        assert not [one.name for one in locked(lock) if re.match("torch|triton|nvidia|cuda", one.name)]


def test_what_serves_is_what_was_tested() -> None:
    for environment in ENVIRONMENTS:
        locks = ("serve", "serve-oidc", "train", "dev")
        serve, oidc, train, dev = (versions(lock, environment).items() for lock in locks)
        assert serve <= oidc <= train <= dev
        spark = versions("spark", environment)
        assert {name: version for name, version in dev if name in spark}.items() <= spark.items()


def test_the_tools_are_those_of_their_group() -> None:
    group: list[str] = project()["dependency-groups"]["tools"]  # type: ignore[index]
    found = versions("tools", ENVIRONMENTS[0])
    for requirement in map(Requirement, group):
        assert requirement.specifier.contains(found[canonicalize_name(requirement.name)])


def test_serving_locks_nothing_of_training() -> None:
    heavy = {"torch", "scikit-learn", "scipy", "pandas", "matplotlib", "pytest"}
    assert not heavy & versions("serve", ENVIRONMENTS[0]).keys()
