"""A file that was changed, replaced or taken away is noticed."""

from __future__ import annotations

from pathlib import Path

from app.file_signature import file_signature


def test_a_change_a_replacement_and_an_absence_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    assert file_signature(path) is None
    path.write_text("one")
    first = file_signature(path)
    assert first is not None and file_signature(path) == first
    path.write_text("longer")
    second = file_signature(path)
    assert second != first
    (tmp_path / "aside").write_text("longer")
    (tmp_path / "aside").replace(path)
    assert file_signature(path) not in (None, first, second)
