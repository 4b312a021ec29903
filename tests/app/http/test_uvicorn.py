"""What app/http builds on in uvicorn is still there: where a newer one breaks it, this says what."""

from __future__ import annotations

import ast
import inspect
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.http import connection, cycle

_BUILT = [(connection, connection.Connection, HttpToolsProtocol), (cycle, cycle.Cycle, RequestResponseCycle)]


def test_no_version_that_nobody_has_tried_is_installed() -> None:
    declared = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (uvicorn,) = (one for one in map(Requirement, declared) if one.name == "uvicorn")
    lowest = min(Version(one.version) for one in uvicorn.specifier)
    assert lowest in uvicorn.specifier
    assert Version(f"{lowest.major}.{lowest.minor + 1}") not in uvicorn.specifier


@pytest.mark.parametrize(("module", "own", "base"), _BUILT, ids=["connection", "cycle"])
def test_what_is_overridden_takes_what_it_took(module: object, own: type, base: type) -> None:
    names = [name for name, value in vars(own).items() if inspect.isfunction(value) and name in vars(base)]
    assert len(names) > 2
    changed = {}
    for name in set(names) - {"__init__"}:
        ours, theirs = (list(inspect.signature(getattr(kind, name)).parameters) for kind in (own, base))
        if len(ours) != len(theirs):
            changed[name] = theirs
    assert not changed


@pytest.mark.parametrize(("module", "own", "base"), _BUILT, ids=["connection", "cycle"])
def test_what_is_used_of_uvicorn_is_there(module: object, own: type, base: type) -> None:
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _of_self(node)}
    ours = set(vars(own)) | _assigned(tree) | set(own.__annotations__)
    missing = used - ours - set(dir(base)) - _assigned(ast.parse(inspect.getsource(inspect.getmodule(base))))  # type: ignore[arg-type]
    assert not missing, f"{base.__name__} of uvicorn no longer has {sorted(missing)}"


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _assigned(tree: ast.AST) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _of_self(node)
    }
