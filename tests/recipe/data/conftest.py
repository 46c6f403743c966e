"""What the tests of folders and of their content share."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of four files, one of them in a folder below."""
    for name in ("a.npy", "b.NPY", "c.txt", "below/d.npy"):
        (tmp_path / "own/data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own/data" / name).write_text(name)
    return tmp_path / "own/data"
