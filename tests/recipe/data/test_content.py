"""Files are read once for their digests, and again only where size or times have changed."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ablate.recipe.data.content import contents, readable
from ablate.recipe.data.folder import files


class Track:
    """Keeps the names of what is tracked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
        self.names += [file.name for file in items]
        return items


def test_only_what_changed_is_read(folder: Path, tmp_path: Path) -> None:
    def ask() -> tuple[dict[str, str], list[str]]:
        track = Track()
        found = contents(folder, files(folder, (".npy",), recursive=True), tmp_path / "memory.json", track)
        return {file.name: digest for file, digest in found}, track.names

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
    before = (folder / "a.npy").stat()
    (folder / "a.npy").write_text("A.npy")  # of the same size, and as a copying tool would set its time
    os.utime(folder / "a.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ask()[1] == ["a.npy"]


def test_a_broken_memory_is_made_anew(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.json", files(folder, (".npy",), recursive=True)
    first = contents(folder, listed, memory, Track())
    for broken in (b"", b"[1, 2]", b'{"a.npy": 3}', b'{"a.npy": [5, 0, 0, 7]}', memory.read_bytes()[:50]):
        memory.write_bytes(broken)
        assert contents(folder, listed, memory, Track()) == first


def test_what_can_not_be_read_is_asked_again(folder: Path, tmp_path: Path) -> None:
    memory, listed = tmp_path / "memory.json", files(folder, (".npy",), recursive=True)
    (folder / "a.npy").unlink()
    found = contents(folder, listed, memory, Track())
    assert found[0].digest == "unreadable: No such file or directory" and "a.npy" not in readable(found)
    (folder / "a.npy").write_text("a.npy")
    assert "a.npy" in readable(contents(folder, listed, memory, Track()))
