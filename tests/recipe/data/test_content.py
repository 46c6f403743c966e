"""Files are read once for their digests, and again only where size or time have changed."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ablate.recipe.data.content import UNREADABLE, digests, files


class Track:
    """Keeps the names of what is tracked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
        self.names += [file.name for file in items]
        return items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.npy", "b.NPY", "c.txt", "below/d.npy"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


def test_files_are_listed_by_suffix(folder: Path) -> None:
    assert [file.name for file in files(folder, (".npy",), recursive=False)] == ["a.npy", "b.NPY"]
    assert [file.name for file in files(folder, (".npy", ".txt"), recursive=True)] == [
        "a.npy", "b.NPY", "below/d.npy", "c.txt",
    ]  # fmt: skip


def test_only_what_changed_is_read(folder: Path, tmp_path: Path) -> None:
    def ask() -> tuple[dict[str, str], list[str]]:
        track = Track()
        return digests(folder, files(folder, (".npy",), recursive=True), tmp_path / "memory.json", track), track.names

    found, read = ask()
    assert found == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.npy", "b.NPY", "below/d.npy")
    } and read == list(found)  # fmt: skip
    assert ask() == (found, [])
    (folder / "b.NPY").write_text("B.NPY")
    os.utime(folder / "a.npy", ns=(0, 1))
    changed, read = ask()
    assert read == ["a.npy", "b.NPY"] and changed["a.npy"] == found["a.npy"] and changed["b.NPY"] != found["b.NPY"]
    assert ask() == (changed, [])


def test_a_broken_memory_is_made_anew(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.json", files(folder, (".npy",), recursive=True)
    first = digests(folder, listed, memory, Track())
    for broken in (b"", b"[1, 2]", b'{"a.npy": 3}', b'{"a.npy": [5, 0, 7]}', memory.read_bytes()[:50]):
        memory.write_bytes(broken)
        assert digests(folder, listed, memory, Track()) == first


def test_what_can_not_be_read_is_asked_again(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.json", files(folder, (".npy",), recursive=True)
    (folder / "a.npy").unlink()
    assert digests(folder, listed, memory, Track())["a.npy"] == UNREADABLE
    (folder / "a.npy").write_text("a.npy")
    assert digests(folder, listed, memory, Track())["a.npy"] != UNREADABLE
